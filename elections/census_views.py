"""REST: the census of a secret ballot."""

import re
from typing import Any, cast

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import IsAdmin, IsSignedIn
from accounts.serializers import StrictSerializer
from elections.census_selectors import MAX_MEMBERS_PAGE, get_census, get_depth, get_merkle_proof, list_commitments
from elections.selectors import get_election, get_head
from elections.serializers import StartedSerializer
from elections.services.census import (
    close_registration,
    is_registration_open,
    register_voter,
    registration_end_block,
    scope_of,
)
from elections.views import IDEMPOTENCY, started
from zk.services import Signature

DECIMAL = re.compile(r"0|[1-9][0-9]{0,76}", re.ASCII)


@extend_schema_field({"type": "string", "pattern": "^(0|[1-9][0-9]{0,76})$"})
class DecimalField(serializers.Field):
    """An integer below 2^256 as a decimal string: JSON's numbers lose digits."""

    default_error_messages = {"invalid": "Must be a decimal number in a string, without sign or zeros ahead."}

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, str) or not DECIMAL.fullmatch(data):
            self.fail("invalid")
        return int(data)

    def to_representation(self, value: int) -> str:
        return str(value)


class PointField(serializers.ListField):
    """A point of BabyJubJub, both coordinates as decimal strings."""

    child = DecimalField()

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(min_length=2, max_length=2, **kwargs)


class SignatureSerializer(StrictSerializer):
    r8 = PointField()
    s = DecimalField()


class RegistrationSerializer(StrictSerializer):
    """A Semaphore identity's public key, and its EdDSA signature over the election's scope."""

    public_key = PointField()
    signature = SignatureSerializer()


class CensusParametersSerializer(StrictSerializer):
    offset = serializers.IntegerField(min_value=0, max_value=2**31 - 1, default=0)
    limit = serializers.IntegerField(min_value=0, max_value=MAX_MEMBERS_PAGE, default=0)


class ProofParametersSerializer(StrictSerializer):
    commitment = DecimalField()


class CensusSerializer(serializers.Serializer[Any]):
    election = serializers.CharField()
    scope = serializers.CharField(help_text="What registrations sign and proofs are bound to")
    is_open = serializers.BooleanField(help_text="Whether people may register now")
    registration_ends = serializers.IntegerField(help_text="The first block in which they may not", allow_null=True)
    size = serializers.IntegerField()
    depth = serializers.IntegerField()
    root = serializers.CharField(help_text="Decimal; final once registration has ended")  # type: ignore[assignment]
    root_on_chain = serializers.CharField(allow_null=True)
    commitments = serializers.ListField(
        child=serializers.CharField(), help_text="With `limit`: from `offset` on, in the tree's order"
    )


class MemberSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField()
    commitment = serializers.CharField()
    size = serializers.IntegerField()


class MerkleProofSerializer(serializers.Serializer[Any]):
    """A Merkle proof as @semaphore-protocol/group makes it."""

    root = serializers.CharField()  # type: ignore[assignment]
    leaf = serializers.CharField()
    index = serializers.IntegerField(help_text="merkleProofIndex: the path's bits")
    siblings = serializers.ListField(child=serializers.CharField())


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
        election = get_election(public_id=id)
        census = get_census(election=election)
        head = get_head(chain_id=election.chain_id)
        commitments = list_commitments(census=census, **parameters.validated_data)
        return Response(
            {
                "election": election.public_id,
                "scope": str(scope_of(election)),
                "is_open": is_registration_open(election=election, census=census, head=head),
                "registration_ends": registration_end_block(election) if election.verifier else None,
                "size": census.size,
                "depth": get_depth(census=census),
                "root": str(int(census.root)),
                "root_on_chain": None if election.census_root is None else str(int(election.census_root)),
                "commitments": [str(commitment) for commitment in commitments],
            }
        )

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
        siblings = [str(node) for node in proof.siblings]
        return Response(
            {"root": str(int(proof.root)), "leaf": str(proof.leaf), "index": proof.index, "siblings": siblings}
        )


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
