"""REST: elections, their metadata, and what may be asked of the chain."""

from collections.abc import Callable
from itertools import permutations
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import IsAdmin, IsSignedIn
from accounts.serializers import EmptySerializer
from elections import services
from elections.exceptions import ElectionNotFound
from elections.hot_reads import choose_encoding, hot_reads, make_body
from elections.models import PUBLIC_ID, Status
from elections.representation import detail_body, list_body
from elections.selectors import DEFAULT_LIMIT, DEFAULT_ORDERING, ORDERING_CHOICES
from elections.serializers import (
    ElectionSerializer,
    ListParametersSerializer,
    MetadataSerializer,
    NewElectionSerializer,
    PageSerializer,
    StartedElectionSerializer,
    StartedSerializer,
    StoredMetadataSerializer,
)
from elections.services.publishing import LISTS, topic_of
from jobs.models import Job

# What nearly every reader sends; other values go through the whole negotiation.
PLAIN_ACCEPTS = {"", "*/*", "application/json", "application/json; version=1", "application/json;version=1"}


def hot_queries() -> dict[str, dict[str, str]]:
    """List the query strings whose pages are kept: first pages of the default size, whatever the parameters' order."""
    known = {}
    for status in (None, *Status.values):
        for ordering in (None, *ORDERING_CHOICES):
            given = {"status": status, "ordering": ordering}
            chosen = {name: value for name, value in given.items() if value is not None}
            for order in permutations(chosen.items()):
                known[urlencode(order)] = chosen
    return known


HOT_QUERIES = hot_queries()


def read_list(parameters: dict[str, str]) -> Callable[[], Any]:
    """Return a reader of one of the pages that are kept."""
    status, ordering = parameters.get("status"), parameters.get("ordering", DEFAULT_ORDERING)
    key = f"list:{status or 'all'}:{ordering}"
    return lambda: hot_reads.get(
        key, topic=LISTS, build=lambda: list_body(status=status, ordering=ordering), is_shared=True
    )


HOT_LISTS = {query: read_list(parameters) for query, parameters in HOT_QUERIES.items()}


def read_detail(public_id: str) -> Any:
    return hot_reads.get(
        f"election:{public_id}",
        topic=topic_of(public_id),
        build=lambda: detail_body(public_id=public_id),
        is_shared=False,
    )


def answer(request: HttpRequest, body: Any) -> HttpResponse:
    """Answer with a kept body in the encoding that the reader takes, or with 304 when it has it already."""
    meta = request.META
    encoding = choose_encoding(meta.get("HTTP_ACCEPT_ENCODING", ""))
    etag = f'"{body.etag}-{encoding}"' if encoding else f'"{body.etag}"'
    matching = meta.get("HTTP_IF_NONE_MATCH")
    if matching is not None and has_match(matching, body.etag):
        response = HttpResponse(status=304)
        del response.headers["Content-Type"]
    else:
        content = body.encoded(encoding)
        response = HttpResponse(content, content_type="application/json")
        response.headers["Content-Length"] = str(len(content))
        if encoding:
            response.headers["Content-Encoding"] = encoding
    response.headers["ETag"] = etag
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept, Accept-Encoding"
    return response


def has_match(if_none_match: str, etag: str) -> bool:
    """Compare weakly (RFC 9110, section 13.1.2); the encodings of one body are one entity here."""
    for candidate in if_none_match.split(","):
        tag = candidate.strip().removeprefix("W/")
        if tag == "*" or tag.strip('"').partition("-")[0] == etag:
            return True
    return False


def read_hot(request: HttpRequest) -> HttpResponse | None:
    """Answer an anonymous plain GET of a kept body, which needs nothing of what DRF does; None for all else.

    Credentials, other media types and other parameters go to the views.
    """
    meta = request.META
    if (
        request.method != "GET"
        or "HTTP_AUTHORIZATION" in meta
        or meta.get("HTTP_ACCEPT", "") not in PLAIN_ACCEPTS
        or not request.path_info.startswith("/elections")
    ):
        return None
    rest, query = request.path_info[10:], meta.get("QUERY_STRING", "")
    if not rest:
        read = HOT_LISTS.get(query)
        return answer(request, read()) if read else None
    if query or not PUBLIC_ID.fullmatch(rest, 1):
        return None
    try:
        return answer(request, read_detail(rest[1:]))
    except ElectionNotFound:
        return None  # The view says so, in the shape of every error.


def refuse_parameters(request: Request) -> None:
    """Refuse query parameters where there are none."""
    parameters = ListParametersSerializer(data=request.query_params)
    parameters.fields.clear()
    parameters.is_valid(raise_exception=True)


def person(request: Request) -> User:
    """Return who asks, where the view's permission let only users in."""
    assert isinstance(request.user, User)
    return request.user


def started(job: Job, **more: str) -> Response:
    """Answer 202 with the job and where to follow it."""
    address = f"/jobs/{job.pk}"
    body = {"job_id": str(job.pk), "status": job.status, "status_url": address, **more}
    return Response(body, status=202, headers={"Location": address})


PARAMETERS = [
    OpenApiParameter("status", enum=list(Status.values), description="Only elections of this status"),
    OpenApiParameter("ordering", enum=ORDERING_CHOICES, default=DEFAULT_ORDERING),
    OpenApiParameter("limit", int, default=DEFAULT_LIMIT, description="1 to 100"),
    OpenApiParameter("cursor", description="From `next` or `previous` of another page"),
]
NOT_MODIFIED = OpenApiResponse(description="`If-None-Match` names the current body.")
IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key", location=OpenApiParameter.HEADER, description="A repeated key gives back the first job"
)


class ElectionListView(APIView):
    api_key_scopes = {"GET": "elections:read", "POST": "elections:write"}

    def get_permissions(self) -> list[BasePermission]:
        return [IsAdmin()] if self.request.method == "POST" else [AllowAny()]

    @extend_schema(
        operation_id="list_elections",
        tags=["Elections"],
        parameters=PARAMETERS,
        responses={200: PageSerializer, 304: NOT_MODIFIED},
    )
    def get(self, request: Request) -> HttpResponseBase:
        """List elections by pages, newest first unless `ordering` says otherwise."""
        parameters = ListParametersSerializer(data=request.query_params)
        parameters.is_valid(raise_exception=True)
        given = parameters.validated_data
        read = HOT_LISTS.get(request.META.get("QUERY_STRING", ""))
        return answer(request._request, read() if read else make_body(list_body(**given), version=b""))

    @extend_schema(
        operation_id="create_election",
        tags=["Elections"],
        parameters=[IDEMPOTENCY],
        request=NewElectionSerializer,
        responses={202: StartedElectionSerializer},
    )
    def post(self, request: Request) -> Response:
        """Ask the chain for a new election; it appears once the transaction is mined and indexed."""
        new = NewElectionSerializer(data=request.data)
        new.is_valid(raise_exception=True)
        job, metadata_hash = services.request_election(
            owner=person(request), idempotency_key=request.headers.get("Idempotency-Key", ""), **new.validated_data
        )
        return started(job, metadata_hash=metadata_hash)


class ElectionView(APIView):
    permission_classes = [AllowAny]
    api_key_scopes = {"GET": "elections:read"}

    @extend_schema(
        operation_id="get_election", tags=["Elections"], responses={200: ElectionSerializer, 304: NOT_MODIFIED}
    )
    def get(self, request: Request, id: str) -> HttpResponseBase:  # noqa: A002
        """Show everything about one election, its tally included."""
        refuse_parameters(request)
        return answer(request._request, read_detail(id))


class ChainRequestView(APIView):
    """Asks the chain for something about one election: a job is started, and the answer says where to follow it."""

    permission_classes = [IsAdmin]
    api_key_scopes = {"POST": "elections:write"}

    def ask(self, *, owner: User, public_id: str, idempotency_key: str) -> Job:
        """Call the service that checks the request and starts its job."""
        raise NotImplementedError

    @extend_schema(tags=["Elections"], parameters=[IDEMPOTENCY], request=None, responses={202: StartedSerializer})
    def post(self, request: Request, id: str) -> Response:  # noqa: A002
        EmptySerializer(data=request.data).is_valid(raise_exception=True)
        key = request.headers.get("Idempotency-Key", "")
        return started(self.ask(owner=person(request), public_id=id, idempotency_key=key))


@extend_schema_view(
    post=extend_schema(
        operation_id="cancel_election",
        description="Ask the chain to cancel an election that has not ended.",
    )
)
class ElectionCancelView(ChainRequestView):
    def ask(self, *, owner: User, public_id: str, idempotency_key: str) -> Job:
        return services.request_cancellation(owner=owner, public_id=public_id, idempotency_key=idempotency_key)


@extend_schema_view(
    post=extend_schema(
        operation_id="finalise_election",
        description="Ask the chain to publish the tally of an election that has ended.",
    )
)
class ElectionFinaliseView(ChainRequestView):
    def ask(self, *, owner: User, public_id: str, idempotency_key: str) -> Job:
        return services.request_tally(owner=owner, public_id=public_id, idempotency_key=idempotency_key)


class MetadataView(APIView):
    permission_classes = [IsSignedIn]

    @extend_schema(
        operation_id="put_election_metadata",
        tags=["Elections"],
        request=MetadataSerializer,
        responses={200: StoredMetadataSerializer},
    )
    def put(self, request: Request, hash: str) -> Response:  # noqa: A002
        """Bring the document that an election names by its hash; refused when it has another hash."""
        document = MetadataSerializer(data=request.data)
        document.is_valid(raise_exception=True)
        services.bring_metadata(
            user=person(request), metadata_hash=bytes.fromhex(hash[2:]), document=document.validated_data
        )
        return Response({"hash": hash, "metadata": document.validated_data})
