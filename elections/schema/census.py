"""The census of a secret ballot: its state, proofs of membership, registration."""

from typing import Any

import graphene
from rest_framework.permissions import AllowAny

from accounts.permissions import IsAdmin, IsSignedIn
from audit.connections import DEFAULT_SIZE
from audit.scalars import BigInt
from elections.census_selectors import get_merkle_proof, list_commitments
from elections.census_serializers import (
    CensusParametersSerializer,
    ProofParametersSerializer,
    RegistrationSerializer,
)
from elections.schema.types import ELECTION_ID, ChainRequest
from elections.services.census import close_registration, read_census, register_voter
from zk.services import MerkleProof as MembersProof
from zk.services import Signature

PERMISSIONS = {
    "census": AllowAny,
    "census_proof": AllowAny,
    "register_voter": IsSignedIn,
    "close_census": IsAdmin,
}
# Keys register nobody: a person signs in with an eID for that.
SCOPES = {"census": "elections:read", "census_proof": "elections:read", "close_census": "elections:write"}


class Census(graphene.ObjectType):
    """The census of a secret ballot; numbers of the proof system are decimal strings."""

    election = graphene.ID(required=True, description="The election's id.")
    scope = graphene.String(required=True, description="What registrations sign and proofs are bound to.")
    is_open = graphene.Boolean(required=True, description="People may register now.")
    registration_ends = BigInt(description="The first block in which they may not; null: there is no registration.")
    size = graphene.Int(required=True, description="How many are registered.")
    depth = graphene.Int(required=True, description="The Merkle tree's depth.")
    root = graphene.String(required=True, description="The tree's root; final once registration has ended.")
    root_on_chain = graphene.String(description="The root that the contract holds.")
    commitments = graphene.List(
        graphene.NonNull(graphene.String),
        required=True,
        description="The commitments in the tree's order.",
        offset=graphene.Int(description="How many to skip."),
        limit=graphene.Int(description="Up to 10,000, 50 by default."),
    )

    @staticmethod
    def resolve_commitments(
        found: dict[str, Any], info: Any, offset: int | None = None, limit: int | None = None
    ) -> list[int]:
        given = {"offset": offset or 0, "limit": DEFAULT_SIZE if limit is None else limit}
        parameters = CensusParametersSerializer(data=given)
        parameters.is_valid(raise_exception=True)
        return list_commitments(census=found["census"], **parameters.validated_data)


class MerkleProof(graphene.ObjectType):
    """A proof that a commitment is in a census, as @semaphore-protocol/group makes it."""

    root = graphene.String(required=True, description="The root that it leads to.")
    leaf = graphene.String(required=True, description="The commitment.")
    index = graphene.Int(required=True, description="merkleProofIndex: the path's bits.")
    siblings = graphene.List(graphene.NonNull(graphene.String), required=True, description="The path, from the leaf.")


class Query(graphene.ObjectType):
    census = graphene.Field(Census, required=True, description="An election's census.", id=ELECTION_ID)
    census_proof = graphene.Field(
        MerkleProof,
        required=True,
        description="The Merkle proof of a commitment; it tells whoever answers which one is asked for.",
        id=ELECTION_ID,
        commitment=graphene.String(required=True, description="The commitment, decimal."),
    )

    @staticmethod
    def resolve_census(root: Any, info: Any, id: str) -> dict[str, Any]:  # noqa: A002
        state = read_census(public_id=id)
        return state.figures() | {"census": state.census}

    @staticmethod
    def resolve_census_proof(root: Any, info: Any, id: str, commitment: str) -> MembersProof:  # noqa: A002
        parameters = ProofParametersSerializer(data={"commitment": commitment})
        parameters.is_valid(raise_exception=True)
        return get_merkle_proof(public_id=id, commitment=parameters.validated_data["commitment"])


class IdentitySignature(graphene.InputObjectType):
    """An EdDSA signature on BabyJubJub."""

    r8 = graphene.List(graphene.NonNull(graphene.String), required=True, description="A point, two decimal numbers.")
    s = graphene.String(required=True, description="A decimal number.")


class Registration(graphene.InputObjectType):
    """A Semaphore identity, and the proof that it is the caller's."""

    public_key = graphene.List(
        graphene.NonNull(graphene.String), required=True, description="A point, two decimal numbers."
    )
    signature = IdentitySignature(required=True, description="Made with the identity's key over the election's scope.")


class RegisterVoter(graphene.Mutation):
    """Register an identity for an election, once for each person who signed in with an eID."""

    class Arguments:
        id = ELECTION_ID
        input = Registration(required=True, description="The identity.")

    index = graphene.Int(required=True, description="Its place in the tree.")
    commitment = graphene.String(required=True, description="Its commitment, decimal.")
    size = graphene.Int(required=True, description="How many are registered now.")

    @staticmethod
    def mutate(root: Any, info: Any, id: str, input: Any) -> dict[str, Any]:  # noqa: A002
        body = RegistrationSerializer(data=dict(input))
        body.is_valid(raise_exception=True)
        given = body.validated_data
        member, _ = register_voter(
            user=info.context.user,
            public_id=id,
            public_key=tuple(given["public_key"]),
            signature=Signature(tuple(given["signature"]["r8"]), given["signature"]["s"]),
        )
        return {"index": member.index, "commitment": int(member.commitment), "size": member.census.size}


class CloseCensus(ChainRequest):
    """End registration now and set the census root on chain; otherwise it ends some blocks before the start."""

    ask = staticmethod(close_registration)


class Mutation(graphene.ObjectType):
    register_voter = RegisterVoter.Field(required=True, description="Register an identity for an election.")
    close_census = CloseCensus.Field(required=True, description="End the registration for an election.")
