"""REST: the census of a secret ballot."""

from typing import cast

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import IsAdmin, IsSignedIn
from elections.census_selectors import get_census, get_merkle_proof, list_commitments
from elections.census_serializers import (
    CensusParametersSerializer,
    CensusSerializer,
    MemberSerializer,
    MerkleProofSerializer,
    ProofParametersSerializer,
    RegistrationSerializer,
)
from elections.selectors import get_election
from elections.serializers import StartedSerializer
from elections.services.census import close_registration, read_census, register_voter
from elections.views import IDEMPOTENCY, started
from zk.services import Signature


class CensusView(APIView):
    def get_permissions(self) -> list[BasePermission]:
        return [IsSignedIn()] if self.request.method == "POST" else [AllowAny()]

    api_key_scopes = {"GET": "elections:read"}

    @extend_schema(
        operation_id="get_census",
        tags=["Elections"],
        parameters=[CensusParametersSerializer],
        responses={200: CensusSerializer},
    )
    def get(self, request: Request, id: str) -> Response:  # noqa: A002
        """Show an election's census: its size and root, whether registration is open, and its commitments."""
        parameters = CensusParametersSerializer(data=request.query_params)
        parameters.is_valid(raise_exception=True)
        census = read_census(public_id=id)
        shown = census.figures() | {"commitments": list_commitments(census=census.census, **parameters.validated_data)}
        return Response(CensusSerializer(shown).data)

    @extend_schema(
        operation_id="register_voter",
        tags=["Elections"],
        request=RegistrationSerializer,
        responses={201: MemberSerializer, 200: MemberSerializer},
    )
    def post(self, request: Request, id: str) -> Response:  # noqa: A002
        """Register an identity for an election, once for each person who signed in with an eID."""
        body = RegistrationSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        given = body.validated_data
        member, is_new = register_voter(
            user=cast(User, request.user),
            public_id=id,
            public_key=tuple(given["public_key"]),
            signature=Signature(tuple(given["signature"]["r8"]), given["signature"]["s"]),
        )
        shown = {"index": member.index, "commitment": str(int(member.commitment)), "size": member.census.size}
        return Response(shown, status=201 if is_new else 200)


class CensusProofView(APIView):
    permission_classes = [AllowAny]
    api_key_scopes = {"GET": "elections:read"}

    @extend_schema(
        operation_id="get_census_proof",
        tags=["Elections"],
        parameters=[OpenApiParameter("commitment", str, required=True, description="Decimal")],
        responses={200: MerkleProofSerializer},
    )
    def get(self, request: Request, id: str) -> Response:  # noqa: A002
        """Show the Merkle proof of a commitment.

        Whoever asks names a leaf; a voter who would rather not downloads all commitments and builds the tree.
        """
        parameters = ProofParametersSerializer(data=request.query_params)
        parameters.is_valid(raise_exception=True)
        census = get_census(election=get_election(public_id=id))
        proof = get_merkle_proof(census=census, commitment=parameters.validated_data["commitment"])
        return Response(MerkleProofSerializer(proof).data)


class CensusCloseView(APIView):
    permission_classes = [IsAdmin]
    api_key_scopes = {"POST": "elections:write"}

    @extend_schema(
        operation_id="close_census",
        tags=["Elections"],
        parameters=[IDEMPOTENCY],
        request=None,
        responses={202: StartedSerializer},
    )
    def post(self, request: Request, id: str) -> Response:  # noqa: A002
        """End registration now and set the census root on chain; otherwise it ends some blocks before the start."""
        key = request.headers.get("Idempotency-Key", "")
        return started(close_registration(public_id=id, owner=cast(User, request.user), idempotency_key=key))
