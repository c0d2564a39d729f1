"""Announces an election's moments (created, closing, tallied, cancelled), each once and when it is final enough."""

import time
from collections.abc import Sequence

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from audit.services import record
from elections.models import ChainHead, Election, Moment
from elections.selectors import get_documents
from notifications import services as notifications
from notifications.selectors import is_awaited

FACT_OF = {Moment.Kind.CREATED: "created", Moment.Kind.TALLIED: "tally", Moment.Kind.CANCELLED: "cancelled"}


def plan_moments(*, elections: Sequence[Election], block_seconds: float | None) -> None:
    """Write down at which block each moment of these elections comes; what was announced stays announced."""
    lead = round(settings.ELECTIONS_CLOSING_LEAD_SECONDS / block_seconds) if block_seconds else 0
    planned, gone = [], []
    for election in elections:
        for kind, fact in FACT_OF.items():
            if fact in election.facts:
                block = election.facts[fact]["block_number"]
                planned.append(Moment(election=election, kind=kind, block_number=block))
            elif kind != Moment.Kind.CREATED:
                gone.append(Q(election=election, kind=kind))
        if lead:
            closing = max(election.start_block, election.end_block - lead)
            planned.append(Moment(election=election, kind=Moment.Kind.CLOSING, block_number=closing))
    Moment.objects.bulk_create(
        planned, update_conflicts=True, unique_fields=["election", "kind"], update_fields=["block_number"]
    )
    # A fact that a reorg took back is planned no more.
    for start in range(0, len(gone), 500):
        condition = Q()
        for one in gone[start : start + 500]:
            condition |= one
        Moment.objects.filter(condition, announced_at=None).delete()


def announce_due(*, head: ChainHead) -> int:
    """Announce what has come and is final enough (setting ELECTIONS_ANNOUNCE_FINALITY), in the caller's transaction."""
    depths = {"latest": head.number, "safe": head.safe_block, "finalized": head.finalized_block}
    depth = depths[settings.ELECTIONS_ANNOUNCE_FINALITY]
    # "Closing soon" is about the clock: it is due by the head, once the election itself is final enough.
    is_due = Q(block_number__lte=depth) & ~Q(kind=Moment.Kind.CLOSING)
    is_closing = Q(kind=Moment.Kind.CLOSING, block_number__lte=head.number, election__created_block__lte=depth)
    due = (
        Moment.objects.select_for_update(of=["self"], skip_locked=True)
        .filter(is_due | is_closing, announced_at=None, election__chain_id=head.chain_id, election__is_withdrawn=False)
        .select_related("election")
        .order_by("block_number", "pk")
    )
    moments = list(due[:1000])
    for moment in moments:
        is_over = moment.election.end_block <= head.number or moment.election.status in {"tallied", "cancelled"}
        if moment.kind != Moment.Kind.CLOSING or not is_over:
            announce(election=moment.election, kind=moment.kind)
    Moment.objects.filter(pk__in=[moment.pk for moment in moments]).update(announced_at=timezone.now())
    return len(moments)


def announce(*, election: Election, kind: str) -> None:
    """Tell the other rooms, in the caller's transaction, that a moment of an election has come."""
    record(action=f"elections.election.{kind}", actor="system:indexer", target=election.target)
    if is_stale(election=election, kind=kind) or not is_awaited(event=kind, election=election.public_id):
        return
    key = bytes(election.metadata_hash)
    document = get_documents(hashes=[key]).get(key) or {}
    labels = document.get("options", [])
    notifications.announce(
        event=kind,
        election=election.public_id,
        title=document.get("title", ""),
        # A document that names another number of options than the contract counts is not believed.
        options=labels if len(labels) == election.options else [""] * election.options,
        totals=election.totals,
        turnout=int(election.turnout),
        starts_at=election.starts_at,
        ends_at=election.ends_at,
    )


def is_stale(*, election: Election, kind: str) -> bool:
    """Tell whether a moment lies too far back to write to anybody: a contract's history may be indexed years later."""
    fact = election.facts.get(FACT_OF.get(Moment.Kind(kind), ""))
    came_at = fact["block_timestamp"] if fact else election.ends_at.timestamp() if election.ends_at else None
    return came_at is not None and came_at < time.time() - settings.ELECTIONS_ANNOUNCE_MAX_AGE_SECONDS
