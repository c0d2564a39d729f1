"""GraphQL: elections and what may be asked of the chain, over the selectors and services that REST uses."""

from typing import Any

import graphene
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import AllowAny

from accounts.permissions import IsAdmin, IsSignedIn
from audit.scalars import BigInt, DateTime
from elections import services
from elections.models import Election as ElectionModel
from elections.models import Finality as FinalityChoices
from elections.models import Status as StatusChoices
from elections.selectors import DEFAULT_ORDERING, ORDERINGS, Cursor, get_election, list_elections
from elections.serializers import (
    ElectionSerializer,
    ElectionSummarySerializer,
    HexField,
    MetadataSerializer,
    NewElectionSerializer,
)

PERMISSIONS = {
    "elections": AllowAny,
    "election": AllowAny,
    "tally": AllowAny,
    "turnout": AllowAny,
    "create_election": IsAdmin,
    "cancel_election": IsAdmin,
    "finalise_election": IsAdmin,
    "bring_election_metadata": IsSignedIn,
}
SCOPES = {
    "elections": "elections:read",
    "election": "elections:read",
    "tally": "elections:read",
    "turnout": "elections:read",
    "create_election": "elections:write",
    "cancel_election": "elections:write",
    "finalise_election": "elections:write",
}

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


class ElectionEdge(graphene.ObjectType):
    """An election in a list."""

    node = graphene.Field(Election, required=True, description="The election.")
    cursor = graphene.String(required=True, description="Its place in the list.")


class ElectionPageInfo(graphene.ObjectType):
    """What lies beyond a page."""

    has_next_page = graphene.Boolean(required=True, description="There are more elections after these.")
    has_previous_page = graphene.Boolean(required=True, description="There are more elections before these.")
    start_cursor = graphene.String(description="Give as `before` for the previous page.")
    end_cursor = graphene.String(description="Give as `after` for the next page.")


class ElectionConnection(graphene.ObjectType):
    """A page of elections."""

    edges = graphene.List(graphene.NonNull(ElectionEdge), required=True, description="The elections with their places.")
    page_info = graphene.Field(ElectionPageInfo, required=True, description="What lies beyond.")


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


ELECTION_ID = graphene.ID(required=True, description="The election's id, such as 31337-5fbdb231-1.")


class Query(graphene.ObjectType):
    elections = graphene.Field(
        ElectionConnection,
        required=True,
        description="Elections by pages.",
        status=ElectionStatus(description="Only those that stand so."),
        ordering=ElectionOrdering(description="NEWEST by default."),
        first=graphene.Int(description="1 to 100, 50 by default."),
        after=graphene.String(description="A cursor: elections after it."),
        last=graphene.Int(description="1 to 100: the ones just before `before`."),
        before=graphene.String(description="A cursor: elections before it."),
    )
    election = graphene.Field(Election, required=True, description="One election.", id=ELECTION_ID)
    tally = graphene.Field(Tally, required=True, description="An election's votes by option.", id=ELECTION_ID)
    turnout = graphene.Field(Turnout, required=True, description="How many voted in an election.", id=ELECTION_ID)

    @staticmethod
    def resolve_elections(
        root: Any,
        info: Any,
        status: Any = None,
        ordering: Any = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> dict[str, Any]:
        if (after and before) or (first is not None and last is not None) or (last is not None and not before):
            raise ValidationError({"first": ["Give first and after, or last and before."]}, code="mixed_directions")
        order = ordering.value if ordering else DEFAULT_ORDERING
        size = last if last is not None else first if first is not None else 50
        page = list_elections(
            status=status.value if status else None,
            ordering=order,
            limit=size,
            cursor=turn(before, is_backward=True) if before else turn(after, is_backward=False) if after else "",
        )
        column = ORDERINGS[order.lstrip("-")]
        edges = [
            {
                "node": ElectionData(election),
                "cursor": Cursor(order, False, getattr(election, column), election.pk).encode(),
            }
            for election in page.elections
        ]
        return {
            "edges": edges,
            "page_info": {
                "has_next_page": bool(page.next_cursor),
                "has_previous_page": bool(page.previous_cursor),
                "start_cursor": edges[0]["cursor"] if edges else None,
                "end_cursor": edges[-1]["cursor"] if edges else None,
            },
        }

    @staticmethod
    def resolve_election(root: Any, info: Any, id: str) -> ElectionData:  # noqa: A002
        return ElectionData(get_election(public_id=id))

    @staticmethod
    def resolve_tally(root: Any, info: Any, id: str) -> dict[str, Any]:  # noqa: A002
        election = get_election(public_id=id)
        options = ElectionSummarySerializer(election).data["tally"]
        return {
            "is_published": election.totals is not None,
            "finality": election.finality,
            "total": sum(option["votes"] for option in options),
            "options": options,
        }

    @staticmethod
    def resolve_turnout(root: Any, info: Any, id: str) -> dict[str, Any]:  # noqa: A002
        election = get_election(public_id=id)
        return {
            "votes": election.turnout,
            "finality": election.finality,
            "is_final": election.status not in (StatusChoices.PENDING, StatusChoices.OPEN),
        }


def turn(cursor: str, *, is_backward: bool) -> str:
    """Point a cursor forwards or backwards; one that is none stays as it is, and the selector refuses it."""
    try:
        place = Cursor.decode(cursor)
    except ValueError:
        return cursor
    return Cursor(place.ordering, is_backward, place.value, place.pk).encode()


class StartedJob(graphene.ObjectType):
    """A job that was started; the `job` query tells how it goes."""

    job_id = graphene.ID(required=True, description="The job's id.")
    status = graphene.String(required=True, description="Where it stands.")


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


IDEMPOTENCY_KEY = graphene.String(description="A repeated key gives back the first job.")


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


class CancelElection(graphene.Mutation):
    """Ask the chain to cancel an election."""

    class Arguments:
        id = ELECTION_ID
        idempotency_key = IDEMPOTENCY_KEY

    job = graphene.Field(StartedJob, required=True, description="The job that sends the transaction.")

    @staticmethod
    def mutate(root: Any, info: Any, id: str, idempotency_key: str | None = None) -> dict[str, Any]:  # noqa: A002
        job = services.request_cancellation(
            owner=info.context.user, public_id=id, idempotency_key=idempotency_key or ""
        )
        return {"job": started(job)}


class FinaliseElection(graphene.Mutation):
    """Ask the chain to publish the tally of an election that has ended."""

    class Arguments:
        id = ELECTION_ID
        idempotency_key = IDEMPOTENCY_KEY

    job = graphene.Field(StartedJob, required=True, description="The job that sends the transaction.")

    @staticmethod
    def mutate(root: Any, info: Any, id: str, idempotency_key: str | None = None) -> dict[str, Any]:  # noqa: A002
        job = services.request_tally(owner=info.context.user, public_id=id, idempotency_key=idempotency_key or "")
        return {"job": started(job)}


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


def started(job: Any) -> dict[str, Any]:
    return {"job_id": str(job.pk), "status": job.status}


class Mutation(graphene.ObjectType):
    create_election = CreateElection.Field(required=True, description="Ask the chain for a new election.")
    cancel_election = CancelElection.Field(required=True, description="Ask the chain to cancel an election.")
    finalise_election = FinaliseElection.Field(required=True, description="Ask the chain for an election's tally.")
    bring_election_metadata = BringElectionMetadata.Field(
        required=True, description="Bring the document that an election names by its hash."
    )
