"""Types of elections, as REST shows them."""

from collections.abc import Callable
from typing import Any

import graphene

from audit.connections import connection_of
from audit.scalars import BigInt, DateTime
from elections.models import Election as ElectionModel
from elections.models import Finality as FinalityChoices
from elections.models import Status as StatusChoices
from elections.serializers import ElectionSerializer, ElectionSummarySerializer

ElectionStatus = graphene.Enum.from_enum(
    StatusChoices,
    name="ElectionStatus",
    description=lambda value: "Where an election stands." if value is None else f"{value.label}.",
)
Finality = graphene.Enum.from_enum(
    FinalityChoices,
    name="Finality",
    description=lambda value: "How safe a fact is from a reorg." if value is None else f"{value.label}.",
)


class ElectionOrdering(graphene.Enum):
    """How elections are ordered."""

    NEWEST = "-created"
    OLDEST = "created"
    ENDS_FIRST = "ends"
    ENDS_LAST = "-ends"

    @property
    def description(self) -> str:
        return {
            "-created": "Created last, first.",
            "created": "Created first, first.",
            "ends": "Ending first, first.",
            "-ends": "Ending last, first.",
        }[self.value]


class BlockTime(graphene.ObjectType):
    """A block and its time."""

    block = BigInt(required=True, description="The block's number.")
    time = DateTime(description="When it came, or is expected to.")
    is_expected = graphene.Boolean(required=True, description="The block is yet to come; the time is an estimate.")


class OptionTally(graphene.ObjectType):
    """The votes of one option."""

    option = graphene.Int(required=True, description="The choice, from 0.")
    label = graphene.String(description="From the metadata; null when there is none.")
    votes = BigInt(required=True, description="How many votes.")


class ElectionMetadata(graphene.ObjectType):
    """What an election is about."""

    title = graphene.String(required=True, description="The title.")
    description = graphene.String(required=True, description="The description.")
    options = graphene.List(graphene.NonNull(graphene.String), required=True, description="The options' labels.")


class Fact(graphene.ObjectType):
    """Where on the chain a fact stands."""

    block_number = BigInt(required=True, description="The block's number.")
    block_hash = graphene.String(required=True, description="The block's hash.")
    block_time = DateTime(required=True, description="The block's time.")
    tx_hash = graphene.String(required=True, description="The transaction's hash.")
    log_index = graphene.Int(required=True, description="The log's place in the block.")
    finality = graphene.Field(Finality, required=True, description="How safe it is from a reorg.")


class ElectionFacts(graphene.ObjectType):
    """The facts that an election was folded from; null for what has not happened."""

    created = graphene.Field(Fact, description="Its creation.")
    census_root_set = graphene.Field(Fact, description="The setting of its census.")
    last_vote = graphene.Field(Fact, description="The last vote.")
    tally = graphene.Field(Fact, description="The published tally.")
    cancelled = graphene.Field(Fact, description="Its cancellation.")


class ElectionData(dict[str, Any]):
    """An election as lists show it; the rest is serialised when a field of it is asked for."""

    def __init__(self, election: ElectionModel) -> None:
        super().__init__(ElectionSummarySerializer(election).data)
        self.election = election
        self.rest: dict[str, Any] | None = None

    def whole(self) -> dict[str, Any]:
        if self.rest is None:
            self.rest = ElectionSerializer(self.election).data
        return self.rest


class Election(graphene.ObjectType):
    """An election as its events and the chain's head say."""

    id = graphene.ID(required=True, description="Chain, contract and number: 31337-5fbdb231-1.")
    chain_id = BigInt(required=True, description="The chain it is on.")
    contract = graphene.String(required=True, description="The contract's address.")
    election_id = graphene.String(required=True, description="Its number on the contract, a decimal uint256.")
    title = graphene.String(description="From the metadata; null when there is none.")
    status = graphene.Field(ElectionStatus, required=True, description="Where it stands.")
    finality = graphene.Field(Finality, required=True, description="Of the newest fact: how safe from a reorg.")
    start = graphene.Field(BlockTime, required=True, description="When voting opens.")
    end = graphene.Field(BlockTime, required=True, description="When voting closes.")
    turnout = BigInt(required=True, description="How many votes were cast.")
    tally = graphene.List(
        graphene.NonNull(OptionTally), required=True, description="Votes per option: seen so far, or as published."
    )
    revision = BigInt(required=True, description="Grows with each change of any election.")
    metadata_hash = graphene.String(required=True, description="SHA-256 of the metadata's canonical JSON.")
    metadata = graphene.Field(ElectionMetadata, description="Null when nobody has brought a document that matches.")
    census_root = graphene.String(description="The root of who may vote.")
    verifier = graphene.String(description="The eligibility verifier; null: one vote per sender.")
    facts = graphene.Field(ElectionFacts, required=True, description="Where on the chain each fact stands.")

    @staticmethod
    def resolve_metadata_hash(data: ElectionData, info: Any) -> Any:
        return data.whole()["metadata_hash"]

    @staticmethod
    def resolve_metadata(data: ElectionData, info: Any) -> Any:
        return data.whole()["metadata"]

    @staticmethod
    def resolve_census_root(data: ElectionData, info: Any) -> Any:
        return data.whole()["census_root"]

    @staticmethod
    def resolve_verifier(data: ElectionData, info: Any) -> Any:
        return data.whole()["verifier"]

    @staticmethod
    def resolve_facts(data: ElectionData, info: Any) -> Any:
        return data.whole()["facts"]


ElectionConnection = connection_of(Election)


class Tally(graphene.ObjectType):
    """The votes of an election by option."""

    is_published = graphene.Boolean(required=True, description="The contract published it; else votes seen so far.")
    finality = graphene.Field(Finality, required=True, description="How safe it is from a reorg.")
    total = BigInt(required=True, description="All votes.")
    options = graphene.List(graphene.NonNull(OptionTally), required=True, description="Votes per option.")


class Turnout(graphene.ObjectType):
    """How many voted."""

    votes = BigInt(required=True, description="How many votes were cast.")
    finality = graphene.Field(Finality, required=True, description="How safe the figure is from a reorg.")
    is_final = graphene.Boolean(required=True, description="Voting has closed.")


class StartedJob(graphene.ObjectType):
    """A job that was started; the `job` query tells how it goes."""

    job_id = graphene.ID(required=True, description="The job's id.")
    status = graphene.String(required=True, description="Where it stands.")


def started(job: Any) -> dict[str, Any]:
    return {"job_id": str(job.pk), "status": job.status}


ELECTION_ID = graphene.ID(required=True, description="The election's id, such as 31337-5fbdb231-1.")
IDEMPOTENCY_KEY = graphene.String(description="A repeated key gives back the first job.")


class ChainRequest(graphene.Mutation):
    """A mutation that asks the chain something about an election; `ask` is the service that starts the job."""

    class Meta:
        abstract = True

    class Arguments:
        id = ELECTION_ID
        idempotency_key = IDEMPOTENCY_KEY

    job = graphene.Field(StartedJob, required=True, description="The job that sends the transaction.")
    ask: Callable[..., Any]

    @classmethod
    def mutate(cls, root: Any, info: Any, id: str, idempotency_key: str | None = None) -> dict[str, Any]:  # noqa: A002
        return {"job": started(cls.ask(public_id=id, owner=info.context.user, idempotency_key=idempotency_key or ""))}
