"""REST API of proofs."""

import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseNotModified,
    StreamingHttpResponse,
)
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import IsSignedIn
from zk.exceptions import CircuitUnknown
from zk.inputs import KINDS
from zk.registry import DOWNLOAD_NAMES, CircuitVersion, all_circuits, find_circuit, usable_circuit
from zk.serializers import CircuitSerializer, ProofSerializer, VerificationSerializer
from zk.services import ProofState, describe_made, get_proof, request_proof, verify_proof

VERSION = OpenApiParameter("version", int, description="An older version of the circuit; by default the newest")
FORMAT = OpenApiParameter("format", str, enum=["snarkjs", "calldata"], description="calldata: what the contract takes")
# A voter's app stands on an origin of its own. These answers are the same for everybody, and take no credentials.
OPEN = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "ETag, Content-Range, Accept-Ranges",
    "Cross-Origin-Resource-Policy": "cross-origin",
}
RANGE = re.compile(r"bytes=(?=\d*-\d|\d)(?P<first>\d{0,15})-(?P<last>\d{0,15})", re.ASCII)
CHUNK_BYTES = 65_536
# Browsers compile a stream as it comes in only under this type.
CONTENT_TYPES = {".json": "application/json", ".wasm": "application/wasm"}
KIND_OF_FILE = {file: kind for kind, file in DOWNLOAD_NAMES.items()}


def describe_circuit(circuit: CircuitVersion) -> dict[str, Any]:
    kind = KINDS[circuit.name]
    files = {}
    for name, artifact in circuit.artifacts.items():
        place = {"circuit": circuit.name, "version": circuit.version, "file": DOWNLOAD_NAMES[name]}
        url = reverse("zk-artifact", kwargs=place)
        files[name] = {"url": url, "sha256": artifact.sha256, "sizeBytes": artifact.size_bytes}
    return {
        "name": circuit.name,
        "version": circuit.version,
        "versions": sorted(all_circuits()[circuit.name]),
        "title": kind.title,
        "description": kind.description,
        "origin": circuit.origin,
        "isDevelopment": circuit.is_development,
        "isAvailable": circuit.is_available,
        "constraints": circuit.n_constraints,
        "publicSignals": circuit.public_signals,
        "inputSchema": kind.schema,
        "files": files,
    }


def read_version(request: Request) -> int | None:
    text = request.query_params.get("version", "")
    if not text:
        return None
    if not text.isdecimal() or len(text) > 6:
        raise ValidationError({"version": ["Must be a version's number."]})
    return int(text)


def is_calldata(request: Request) -> bool:
    wanted = request.query_params.get("format", "snarkjs")
    if wanted not in {"snarkjs", "calldata"}:
        raise ValidationError({"format": ["Must be snarkjs or calldata."]})
    return wanted == "calldata"


def describe_state(state: ProofState, *, as_calldata: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"circuit": state.circuit.name, "version": state.circuit.version, "status": "succeeded"}
    if state.job is not None:
        body |= {"job": str(state.job.pk), "status": state.job.status}
        if state.job.problem:
            body["problem"] = state.job.problem
    if state.made is not None:
        body |= {"isCached": state.is_cached, **describe_made(state.circuit, state.made, is_calldata=as_calldata)}
    return body


class CircuitsView(APIView):
    """The circuits."""

    permission_classes = [AllowAny]
    authentication_classes: list[Any] = []
    api_key_scopes = {"GET": "proofs:read"}

    @extend_schema(
        tags=["Proofs"],
        operation_id="zk_circuits",
        description=(
            "Prove on your own device where you can: download wasm and zkey from the addresses given here, check "
            "their hashes, and prove with snarkjs; then the witness, your secret, never leaves the device. What this "
            "server proves for you, it has seen."
        ),
        responses=CircuitSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        circuits = [describe_circuit(find_circuit(name)) for name in sorted(all_circuits())]
        return Response(CircuitSerializer(circuits, many=True).data, headers=OPEN)


class ProofsView(APIView):
    """Proofs of one circuit."""

    permission_classes = [IsSignedIn]
    api_key_scopes = {"POST": "proofs:create"}

    @extend_schema(
        tags=["Proofs"],
        operation_id="zk_prove",
        description="Make a proof: at once when it is cached, else by a job. Proving on your own device is safer: "
        "see `GET /api/zk`.",
        parameters=[VERSION, FORMAT],
        request=OpenApiTypes.OBJECT,
        responses={200: ProofSerializer, 202: ProofSerializer, 422: OpenApiResponse(description="Input not valid")},
    )
    def post(self, request: Request, circuit: str) -> Response:
        as_calldata = is_calldata(request)
        state = request_proof(
            user=cast(User, request.user), name=circuit, value=request.data, version=read_version(request)
        )
        body = describe_state(state, as_calldata=as_calldata)
        if state.job is None:
            return Response(body)
        place = reverse("zk-proof", kwargs={"circuit": circuit, "job": state.job.pk})
        return Response(body, status=202, headers={"Location": place})


class ProofView(APIView):
    """One proof job."""

    permission_classes = [IsSignedIn]
    api_key_scopes = {"GET": "proofs:read"}

    @extend_schema(tags=["Proofs"], operation_id="zk_proof", parameters=[FORMAT], responses={200: ProofSerializer})
    def get(self, request: Request, circuit: str, job: uuid.UUID) -> Response:
        as_calldata = is_calldata(request)
        state = get_proof(user=cast(User, request.user), name=circuit, job_id=job)
        return Response(describe_state(state, as_calldata=as_calldata), headers={"Cache-Control": "no-store"})


class VerificationView(APIView):
    """Checks of proofs."""

    permission_classes = [AllowAny]
    api_key_scopes = {"POST": "proofs:read"}

    @extend_schema(
        tags=["Proofs"],
        operation_id="zk_verify",
        description="Check a proof in snarkjs's format (`{proof, pubSignals}`), or for `eligibility` one of "
        "@semaphore-protocol/proof.",
        parameters=[VERSION],
        request=OpenApiTypes.OBJECT,
        responses={200: VerificationSerializer},
    )
    def post(self, request: Request, circuit: str) -> Response:
        result = verify_proof(name=circuit, value=request.data, version=read_version(request))
        return Response(VerificationSerializer(result).data)


class ArtifactView(APIView):
    """Files of circuits; they never change under their address."""

    permission_classes = [AllowAny]
    authentication_classes: list[Any] = []
    api_key_scopes = {"GET": "proofs:read"}

    @extend_schema(
        tags=["Proofs"],
        operation_id="zk_artifact",
        description="Download circuit.wasm, circuit.zkey, verification_key.json or circuit.r1cs; also one "
        "range of bytes, so that a download that broke off goes on.",
        responses={
            (200, "application/octet-stream"): OpenApiTypes.BINARY,
            (206, "application/octet-stream"): OpenApiTypes.BINARY,
        },
    )
    def get(self, request: Request, circuit: str, version: int, file: str) -> HttpResponseBase:
        kind = KIND_OF_FILE.get(file)
        found = usable_circuit(circuit, version)
        if kind not in found.artifacts:
            raise CircuitUnknown
        return artifact_response(request._request, found.path(kind), etag=f'"{found.artifacts[kind].sha256}"')


def artifact_response(request: HttpRequest, path: Path, *, etag: str) -> HttpResponseBase:
    """Answer with a file, with the one range of it that is asked for (RFC 9110, section 14), or with 304."""
    headers = {"ETag": etag, "Cache-Control": "public, max-age=31536000, immutable", "Accept-Ranges": "bytes"} | OPEN
    if etag in request.headers.get("If-None-Match", ""):
        return HttpResponseNotModified(headers=headers)
    kind = CONTENT_TYPES.get(path.suffix, "application/octet-stream")
    file, size = path.open("rb"), path.stat().st_size
    wanted = RANGE.fullmatch(request.headers.get("Range", ""))
    # Another version's rest must not be joined to what the reader has: If-Range names the file it began with.
    if not wanted or request.headers.get("If-Range", etag) != etag:
        return FileResponse(file, content_type=kind, headers=headers)
    first, last = wanted["first"], wanted["last"]
    start = int(first) if first else max(size - int(last), 0)
    end = min(int(last), size - 1) if first and last else size - 1
    if start > end or start >= size:
        file.close()
        return HttpResponse(status=416, headers=headers | {"Content-Range": f"bytes */{size}"})
    file.seek(start)
    length = end - start + 1
    headers |= {"Content-Range": f"bytes {start}-{end}/{size}", "Content-Length": str(length)}
    return StreamingHttpResponse(read_part(file, length), status=206, content_type=kind, headers=headers)


def read_part(file: BinaryIO, length: int) -> Iterator[bytes]:
    with file:
        while length and (chunk := file.read(min(length, CHUNK_BYTES))):
            length -= len(chunk)
            yield chunk
