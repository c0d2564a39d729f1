"""REST: the census of a secret ballot."""

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import IsSignedIn
from elections.census_selectors import get_merkle_proof, list_commitments
from elections.census_serializers import (
    CensusParametersSerializer,
    CensusSerializer,
    MemberSerializer,
    MerkleProofSerializer,
    ProofParametersSerializer,
    RegistrationSerializer,
)
from elections.services.census import close_registration, read_census, register_voter
from elections.views import ChainRequestView, person
from jobs.models import Job
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
            user=person(request),
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
        proof = get_merkle_proof(public_id=id, commitment=parameters.validated_data["commitment"])
        return Response(MerkleProofSerializer(proof).data)


@extend_schema_view(
    post=extend_schema(
        operation_id="close_census",
        description="End registration now and set the census root on chain; otherwise it ends some blocks before the "
        "start.",
    )
)
class CensusCloseView(ChainRequestView):
    def ask(self, *, owner: User, public_id: str, idempotency_key: str) -> Job:
        return close_registration(owner=owner, public_id=public_id, idempotency_key=idempotency_key)
