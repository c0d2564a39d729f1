"""Moves elections along with the chain's head: status by height, finality of facts, expected times."""

from django.db import transaction
from django.db.models import BooleanField, Q
from django.db.models.expressions import RawSQL
from django.utils import timezone

from elections.events import BlockRef, Change, Changes
from elections.models import ChainHead, Election, Finality, Status
from elections.services.census import close_due_censuses
from elections.services.folding import as_datetime, next_revision
from elections.services.lifecycle import announce_due
from elections.services.publishing import invalidate_on_commit

DEFAULT_BLOCK_SECONDS = 12.0
# Expected times are looked at again every so many blocks, and moved only when they are off by more than the
# tolerance: each move changes what readers hold.
RESCHEDULE_EVERY_BLOCKS = 32
RESCHEDULE_TOLERANCE_SECONDS = 10


@transaction.atomic
def advance_head(*, chain_id: int, head: BlockRef, safe_block: int, finalized_block: int) -> Changes:
    """Record the chain's new head, and set what follows from it: statuses and the finality of facts.

    The head may also go back (a reorg to a lower one). Runs in the indexer's transaction.
    """
    before = ChainHead.objects.select_for_update().filter(pk=chain_id).first()
    row = ChainHead(
        chain_id=chain_id,
        number=head.number,
        hash=head.hash,
        timestamp=head.timestamp,
        safe_block=safe_block,
        finalized_block=finalized_block,
        block_seconds=smoothed_block_seconds(before, head),
    )
    row.save()

    elections = Election.objects.filter(chain_id=chain_id, is_withdrawn=False)
    reasons: dict[str, set[str]] = {}
    pending, running, closed = Q(status=Status.PENDING), Q(status=Status.OPEN), Q(status=Status.CLOSED)
    number = head.number
    moves: list[tuple[str, dict[str, str], Q]] = [
        ("status", {"status": Status.CLOSED}, (pending | running) & Q(end_block__lte=number)),
        ("status", {"status": Status.OPEN}, pending & Q(start_block__lte=number)),
        (
            "finality",
            {"finality": Finality.FINALIZED},
            ~Q(finality="finalized") & Q(last_fact_block__lte=finalized_block),
        ),
        ("finality", {"finality": Finality.SAFE}, Q(finality="latest") & Q(last_fact_block__lte=safe_block)),
    ]
    if before is not None and number < before.number:
        moves += [
            ("status", {"status": Status.PENDING}, (running | closed) & Q(start_block__gt=number)),
            ("status", {"status": Status.OPEN}, closed & Q(start_block__lte=number, end_block__gt=number)),
        ]
    changed: dict[int, str] = {}
    for reason, values, condition in moves:
        found = dict(elections.filter(condition).values_list("pk", "public_id"))
        if found:
            Election.objects.filter(pk__in=found).update(**values)
            changed |= found
            for public_id in found.values():
                reasons.setdefault(public_id, set()).add(reason)
    if before is not None and (safe_block, finalized_block) != (before.safe_block, before.finalized_block):
        # An older fact of an election may have become final while its newest has not.
        for pk, public_id in list_fact_finality_moved(before, row):
            changed[pk] = public_id
            reasons.setdefault(public_id, set()).add("finality")
    if before is None or number // RESCHEDULE_EVERY_BLOCKS != before.number // RESCHEDULE_EVERY_BLOCKS or changed:
        for election in reschedule(row, changed_ids=set(changed), is_full=before is None or not changed):
            changed[election.pk] = election.public_id
            reasons.setdefault(election.public_id, set()).add("schedule")
    if changed:
        Election.objects.filter(pk__in=changed).update(revision=next_revision(), updated_at=timezone.now())
    announce_due(head=row)
    close_due_censuses(head=row)
    changes = Changes(tuple(Change(public_id, frozenset(why)) for public_id, why in reasons.items()))
    invalidate_on_commit(changes)
    return changes


def list_fact_finality_moved(before: ChainHead, after: ChainHead) -> list[tuple[int, str]]:
    """List elections, not wholly finalized, with a fact in a block whose finality differs between two heads."""
    lowest, highest = sorted((before.safe_block, after.safe_block))
    lowest_final, highest_final = sorted((before.finalized_block, after.finalized_block))
    has_moved = RawSQL(
        """EXISTS (SELECT 1 FROM jsonb_each(elections_election.facts) AS fact
           WHERE (fact.value ->> 'block_number')::bigint > %s AND (fact.value ->> 'block_number')::bigint <= %s
              OR (fact.value ->> 'block_number')::bigint > %s AND (fact.value ->> 'block_number')::bigint <= %s)""",
        (lowest, highest, lowest_final, highest_final),
        output_field=BooleanField(),
    )
    rows = Election.objects.filter(chain_id=after.chain_id, is_withdrawn=False).exclude(finality=Finality.FINALIZED)
    return list(rows.filter(has_moved).values_list("pk", "public_id"))


def reschedule(head: ChainHead, *, changed_ids: set[int], is_full: bool) -> list[Election]:
    """Estimate anew when elections start and end; return those whose times moved."""
    upcoming = Election.objects.filter(chain_id=head.chain_id, is_withdrawn=False).filter(
        Q(status=Status.PENDING) | Q(status=Status.OPEN) | Q(pk__in=changed_ids)
    )
    if not is_full:
        upcoming = upcoming.filter(pk__in=changed_ids)
    moved = []
    for election in upcoming.only("pk", "public_id", "start_block", "end_block", "starts_at", "ends_at"):
        is_moved = False
        for name, block in (("starts_at", election.start_block), ("ends_at", election.end_block)):
            known = getattr(election, name)
            expected = as_datetime(head.expected_timestamp(block))
            if expected is None or (known is not None and block < head.number - RESCHEDULE_EVERY_BLOCKS):
                # What is long past is not estimated again from today's pace.
                continue
            remaining = max(0, block - head.number) * head.block_seconds
            tolerance = max(RESCHEDULE_TOLERANCE_SECONDS, remaining * 0.02)
            if known is None or abs((expected - known).total_seconds()) > tolerance or block == head.number:
                is_moved = is_moved or known != expected
                setattr(election, name, expected)
        if is_moved:
            moved.append(election)
    if moved:
        Election.objects.bulk_update(moved, ["starts_at", "ends_at"], batch_size=500)
    return moved


def smoothed_block_seconds(before: ChainHead | None, head: BlockRef) -> float:
    """Average the time between blocks, recent ones counting more."""
    if before is None:
        return DEFAULT_BLOCK_SECONDS
    blocks = head.number - before.number
    if blocks <= 0 or head.timestamp <= before.timestamp:
        return before.block_seconds
    observed = (head.timestamp - before.timestamp) / blocks
    # A long backfill says more about the pace than one block does.
    weight = 1 - 0.9 ** min(blocks, 100)
    return before.block_seconds * (1 - weight) + observed * weight
