"""Folds the chain's events into election rows, inside the indexer's transaction."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from audit.services import record
from elections.events import (
    CensusRootSet,
    Change,
    Changes,
    ElectionCancelled,
    ElectionCreated,
    Event,
    Origin,
    TallyPublished,
    VoteCast,
)
from elections.models import ChainHead, Election, Finality, public_id_of
from elections.projection import State, finality_of, fold, status_at
from elections.services.lifecycle import plan_moments
from elections.services.publishing import invalidate_on_commit

REASONS: dict[type, str] = {
    ElectionCreated: "created",
    CensusRootSet: "census_root_set",
    VoteCast: "votes",
    TallyPublished: "tally",
    ElectionCancelled: "cancelled",
}
WRITTEN = [
    "metadata_hash",
    "start_block",
    "end_block",
    "options",
    "census_root",
    "verifier",
    "status",
    "finality",
    "votes",
    "totals",
    "turnout",
    "is_cancelled",
    "facts",
    "created_block",
    "last_fact_block",
    "starts_at",
    "ends_at",
    "is_withdrawn",
    "revision",
    "updated_at",
]


@transaction.atomic
def apply_events(*, events: Iterable[Event]) -> Changes:
    """Fold new events, in chain order, over the elections that they concern.

    Runs in the indexer's transaction; calling it twice with the same events counts them twice, so the
    indexer's checkpoint must move in the same transaction.
    """
    by_chain: dict[tuple[int, str], dict[int, list[Event]]] = {}
    for event in events:
        origin = event.origin
        by_election = by_chain.setdefault((origin.chain_id, origin.contract), {})
        by_election.setdefault(event.election_id, []).append(event)

    changes = Changes()
    for (chain_id, contract), by_election in by_chain.items():
        rows = lock_rows(chain_id=chain_id, contract=contract, election_ids=by_election)
        folded = {}
        for election_id, its_events in by_election.items():
            row = rows.get(election_id)
            before = state_of(row) if row and not row.is_withdrawn else None
            state = fold(before, its_events)
            if state is not None and state != before:
                folded[election_id] = (state, frozenset(REASONS[type(event)] for event in its_events))
        changes += write(chain_id=chain_id, contract=contract, rows=rows, folded=folded)
    return changes


@transaction.atomic
def refold(*, chain_id: int, contract: str, events_by_election: Mapping[int, Iterable[Event]]) -> Changes:
    """Fold elections again from all of their events, after a reorg took some back.

    An election with no creation left is withdrawn: its row stays, out of sight, for what hangs on it.
    """
    rows = lock_rows(chain_id=chain_id, contract=contract, election_ids=events_by_election)
    folded: dict[int, tuple[State, frozenset[str]]] = {}
    withdrawn = []
    for election_id, events in events_by_election.items():
        state = fold(None, events)
        if state is not None:
            folded[election_id] = (state, frozenset({"retracted"}))
        elif election_id in rows and not rows[election_id].is_withdrawn:
            withdrawn.append(rows[election_id])
    changes = write(chain_id=chain_id, contract=contract, rows=rows, folded=folded)
    if withdrawn:
        Election.objects.filter(pk__in=[row.pk for row in withdrawn]).update(
            is_withdrawn=True, revision=next_revision(), updated_at=timezone.now()
        )
        for row in withdrawn:
            record(action="elections.election.withdrawn", actor="system:indexer", target=row.target)
        gone = Changes(tuple(Change(row.public_id, frozenset({"retracted", "withdrawn"})) for row in withdrawn))
        invalidate_on_commit(gone)
        changes += gone
    return Changes(changes.items, is_reorg=True)


def lock_rows(*, chain_id: int, contract: str, election_ids: Iterable[int]) -> dict[int, Election]:
    """Lock the rows of these elections, always in the same order."""
    rows = Election.objects.select_for_update().on_contract(chain_id=chain_id, contract=contract)
    return {row.election_id: row for row in rows.filter(election_id__in=list(election_ids)).order_by("pk")}


def write(
    *,
    chain_id: int,
    contract: str,
    rows: Mapping[int, Election],
    folded: Mapping[int, tuple[State, frozenset[str]]],
) -> Changes:
    """Write folded states as rows, in one statement, and plan the moments to announce."""
    if not folded:
        return Changes()
    head = ChainHead.objects.filter(pk=chain_id).first()
    revision = next_revision()
    written, items = [], []
    for election_id, (state, reasons) in folded.items():
        public_id = public_id_of(chain_id=chain_id, contract=contract, election_id=election_id)
        row = Election(public_id=public_id, chain_id=chain_id, contract=contract, election_id=election_id)
        if election_id in rows:
            row.first_seen_at = rows[election_id].first_seen_at
        fill(row, state, head)
        row.revision = revision
        written.append(row)
        items.append(Change(public_id, reasons))
    unique = ["chain_id", "contract", "election_id"]
    Election.objects.bulk_create(
        written, update_conflicts=True, unique_fields=unique, update_fields=WRITTEN, batch_size=1000
    )
    plan_moments(elections=written, block_seconds=head.block_seconds if head else None)
    lasting = [item for item in items if item.reasons - {"votes"}]
    if lasting:
        named = [{"id": item.public_id, "facts": sorted(item.reasons)} for item in lasting[:200]]
        record(
            action="elections.facts.folded",
            actor="system:indexer",
            target=f"contract:{chain_id}/{contract}",
            data={"elections": named, "count": len(lasting)},
        )
    changes = Changes(tuple(items))
    invalidate_on_commit(changes)
    return changes


def fill(row: Election, state: State, head: ChainHead | None) -> None:
    """Set a row's columns from a state and the chain's head."""
    for name in ("metadata_hash", "start_block", "end_block", "options", "census_root", "verifier", "is_cancelled"):
        setattr(row, name, getattr(state, name))
    row.votes = list(state.votes)
    row.totals = None if state.totals is None else list(state.totals)
    row.turnout = state.turnout
    row.facts = {kind: origin_as_json(origin) for kind, origin in state.facts.items()}
    row.created_block = state.facts["created"].block_number
    row.last_fact_block = state.last_fact_block
    row.is_withdrawn = False
    if head is None:
        row.status = status_at(state, state.last_fact_block)
        row.finality = Finality.LATEST
    else:
        row.status = status_at(state, max(head.number, state.last_fact_block))
        row.finality = finality_of(
            state.last_fact_block, safe_block=head.safe_block, finalized_block=head.finalized_block
        )
        row.starts_at = as_datetime(head.expected_timestamp(state.start_block))
        row.ends_at = as_datetime(head.expected_timestamp(state.end_block))


def state_of(row: Election) -> State:
    """Read a row back as the state that was written."""
    return State(
        metadata_hash=bytes(row.metadata_hash),
        start_block=row.start_block,
        end_block=row.end_block,
        options=row.options,
        census_root=row.census_root,
        verifier=row.verifier,
        votes=tuple(row.votes),
        totals=None if row.totals is None else tuple(int(total) for total in row.totals),
        is_cancelled=row.is_cancelled,
        facts={kind: origin_from_json(row, fact) for kind, fact in row.facts.items()},
    )


def origin_as_json(origin: Origin) -> dict[str, Any]:
    return {
        "block_number": origin.block_number,
        "block_hash": f"0x{origin.block_hash.hex()}",
        "block_timestamp": origin.block_timestamp,
        "tx_hash": f"0x{origin.tx_hash.hex()}",
        "log_index": origin.log_index,
    }


def origin_from_json(row: Election, fact: Mapping[str, Any]) -> Origin:
    return Origin(
        chain_id=row.chain_id,
        contract=row.contract,
        block_number=fact["block_number"],
        block_hash=bytes.fromhex(fact["block_hash"][2:]),
        block_timestamp=fact["block_timestamp"],
        tx_hash=bytes.fromhex(fact["tx_hash"][2:]),
        log_index=fact["log_index"],
    )


def as_datetime(timestamp: float) -> datetime | None:
    """Turn Unix seconds into a time; None for one past the calendar (a contract may name any block)."""
    try:
        return datetime.fromtimestamp(timestamp, UTC)
    except (OverflowError, ValueError):
        return None


def next_revision() -> int:
    """Draw the number that orders this transaction's changes."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('elections_revision')")
        return int(cursor.fetchone()[0])
