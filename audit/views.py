"""The log's public endpoints (C2SP tlog-tiles, tlog-proof), and its entries for administrators."""

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit import selectors
from audit.exceptions import NotYetInLog, UnknownTile
from audit.merkle import parse_tile_path
from audit.permissions import IsAdministrator
from audit.serializers import EntriesPageSerializer, EntriesQuerySerializer, ProofQuerySerializer

TEXT = "text/plain; charset=utf-8"
IMMUTABLE = "public, max-age=31536000, immutable"
PLAIN = {(200, "text/plain"): OpenApiTypes.STR}
BYTES = {(200, "application/octet-stream"): OpenApiTypes.BINARY}
NOT_FOUND = {404: OpenApiResponse(description="A problem (`application/problem+json`).")}


def integer_or_none(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 3 and str(int(text)) == text else None


class AnyAccept(DefaultContentNegotiation):
    """Answer in the log's own formats, whatever a client says that it accepts."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class PublicView(APIView):
    """Readable by anybody, with or without a token, even a stale one; readable from other origins' pages."""

    content_negotiation_class = AnyAccept
    permission_classes = [AllowAny]
    authentication_classes: list[Any] = []

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Access-Control-Allow-Origin"] = "*"
        return response


class CheckpointView(PublicView):
    @extend_schema(tags=["Audit"], operation_id="audit_checkpoint", responses=PLAIN | NOT_FOUND)
    def get(self, request: Request) -> HttpResponse:
        """Return the log's last checkpoint, a signed note (C2SP tlog-checkpoint)."""
        note = selectors.get_checkpoint().note
        return HttpResponse(note, content_type=TEXT, headers={"Cache-Control": "no-cache"})


class KeyView(PublicView):
    @extend_schema(tags=["Audit"], operation_id="audit_key", responses=PLAIN)
    def get(self, request: Request) -> HttpResponse:
        """Return the log's public keys, one a line, as `<origin>+<hash>+<base64>`; compare with a copy you trust."""
        return HttpResponse("".join(f"{key}\n" for key in selectors.get_verifier_keys()), content_type=TEXT)


class TileView(PublicView):
    @extend_schema(
        tags=["Audit"],
        operation_id="audit_tile",
        parameters=[
            OpenApiParameter("level", str, OpenApiParameter.PATH, description="0 to 7, or `entries`."),
            OpenApiParameter("path", str, OpenApiParameter.PATH, description="`x001/x234/067` or `067.p/5`."),
        ],
        responses=BYTES | NOT_FOUND,
    )
    def get(self, request: Request, level: str, path: str) -> HttpResponse:
        """Return a tile of hashes, or the bundle of records behind it (C2SP tlog-tiles).

        The log's records are the SHA-256 of each entry's canonical bytes: their content is not public.
        """
        place, number = parse_tile_path(path), integer_or_none(level)
        if place is None or (number is None and level != "entries"):
            raise UnknownTile
        index, width = place
        if number is None:
            content = selectors.get_entries_bundle(index=index, width=width)
        else:
            content = selectors.get_tile(level=number, index=index, width=width)
        # A tile of a width never changes: the tree only grows.
        return HttpResponse(content, content_type="application/octet-stream", headers={"Cache-Control": IMMUTABLE})


class ProofView(PublicView):
    @extend_schema(
        tags=["Audit"], operation_id="audit_proof", parameters=[ProofQuerySerializer], responses=PLAIN | NOT_FOUND
    )
    def get(self, request: Request) -> HttpResponse:
        """Return an entry's inclusion proof with the checkpoint it leads to (C2SP tlog-proof).

        Asked by `id`, the receipt that the change's answer carried, the proof brings the entry's canonical bytes as
        `extra`; asked by `seq`, it does not. A 404 `not_yet_in_log` passes within seconds.
        """
        query = ProofQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        proof = selectors.get_proof(seq=asked.get("seq"), entry_id=asked.get("id"), size=asked.get("size"))
        return HttpResponse(proof, content_type=TEXT)

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if isinstance(exc, NotYetInLog):
            response["Retry-After"] = "5"
        return response


class EntriesView(APIView):
    permission_classes = [IsAdministrator]

    @extend_schema(
        tags=["Audit"],
        operation_id="audit_entries",
        parameters=[EntriesQuerySerializer],
        responses=EntriesPageSerializer,
    )
    def get(self, request: Request) -> Response:
        """List the log's entries, newest first; for administrators."""
        query = EntriesQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        entries = selectors.list_entries(filters=asked)
        if before := asked.get("before"):
            entries = entries.filter(pk__lt=before)
        page = list(entries[: asked["limit"] + 1])
        has_more = len(page) > asked["limit"]
        page = page[: asked["limit"]]
        return Response(EntriesPageSerializer({"results": page, "next": page[-1].pk if has_more else None}).data)
