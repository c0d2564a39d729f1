"""What may be asked of the chain, and the documents of elections."""

from typing import Any

import graphene
from rest_framework.exceptions import ValidationError

from accounts.permissions import IsAdmin, IsSignedIn
from audit.scalars import BigInt
from elections import services
from elections.schema.types import IDEMPOTENCY_KEY, ChainRequest, StartedJob, started
from elections.serializers import HexField, MetadataSerializer, NewElectionSerializer

PERMISSIONS = {
    "create_election": IsAdmin,
    "cancel_election": IsAdmin,
    "finalise_election": IsAdmin,
    "bring_election_metadata": IsSignedIn,
}
SCOPES = {
    "create_election": "elections:write",
    "cancel_election": "elections:write",
    "finalise_election": "elections:write",
}


class NewElectionMetadata(graphene.InputObjectType):
    """What the election is about."""

    title = graphene.String(required=True, description="At most 200 characters.")
    description = graphene.String(required=True, description="At most 10,000 characters.")
    options = graphene.List(
        graphene.NonNull(graphene.String), required=True, description="2 to 255 labels of at most 200 characters."
    )


class NewElection(graphene.InputObjectType):
    """An election to be created on chain."""

    metadata = NewElectionMetadata(required=True, description="What it is about.")
    start_block = BigInt(required=True, description="The first block in which votes count.")
    end_block = BigInt(required=True, description="The block from which none counts any more.")
    census_root = graphene.String(description="The root of who may vote, 0x and 64 digits.")
    verifier = graphene.String(description="The eligibility verifier's address; none: one vote per sender.")


class CreateElection(graphene.Mutation):
    """Ask the chain for a new election; it appears once the transaction is mined and indexed."""

    class Arguments:
        input = NewElection(required=True, description="The election.")
        idempotency_key = IDEMPOTENCY_KEY

    job = graphene.Field(StartedJob, required=True, description="The job that sends the transaction.")
    metadata_hash = graphene.String(required=True, description="SHA-256 of the metadata's canonical JSON.")

    @staticmethod
    def mutate(root: Any, info: Any, input: Any, idempotency_key: str | None = None) -> dict[str, Any]:  # noqa: A002
        new = NewElectionSerializer(data=dict(input))
        new.is_valid(raise_exception=True)
        job, metadata_hash = services.request_election(
            owner=info.context.user, idempotency_key=idempotency_key or "", **new.validated_data
        )
        return {"job": started(job), "metadata_hash": metadata_hash}


class CancelElection(ChainRequest):
    """Ask the chain to cancel an election that has not ended."""

    ask = staticmethod(services.request_cancellation)


class FinaliseElection(ChainRequest):
    """Ask the chain to publish the tally of an election that has ended."""

    ask = staticmethod(services.request_tally)


class BringElectionMetadata(graphene.Mutation):
    """Bring the document that an election names by its hash; refused when it has another hash."""

    class Arguments:
        hash = graphene.String(required=True, description="The hash that the election names, 0x and 64 digits.")
        document = NewElectionMetadata(required=True, description="The document.")

    hash = graphene.String(required=True, description="The document's hash.")

    @staticmethod
    def mutate(root: Any, info: Any, hash: str, document: Any) -> dict[str, Any]:  # noqa: A002
        try:
            name = HexField(length=32).run_validation(hash)
        except ValidationError as error:
            raise ValidationError({"hash": error.detail}) from error
        given = MetadataSerializer(data=dict(document))
        given.is_valid(raise_exception=True)
        services.bring_metadata(
            user=info.context.user, metadata_hash=bytes.fromhex(name[2:]), document=given.validated_data
        )
        return {"hash": name}


class Mutation(graphene.ObjectType):
    create_election = CreateElection.Field(required=True, description="Ask the chain for a new election.")
    cancel_election = CancelElection.Field(
        required=True, description="Ask the chain to cancel an election that has not ended."
    )
    finalise_election = FinaliseElection.Field(required=True, description="Ask the chain for an election's tally.")
    bring_election_metadata = BringElectionMetadata.Field(
        required=True, description="Bring the document that an election names by its hash."
    )
