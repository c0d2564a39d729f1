"""Writes what was read of a chain: rows, hashes, coverage and checkpoint in one transaction."""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import connection, transaction
from django.utils import timezone

from audit.services import record
from chain import metrics
from chain.exceptions import CheckpointMoved
from chain.models import Block, Checkpoint, Contract, DeadLetter, EventLog
from chain.reading import Header
from chain.selectors import events_by_election
from chain.services.coverage import cover, uncover
from chain.services.decoding import DecodedLogs
from elections.services import BlockRef, Changes, advance_head, apply_events, refold

LEASE_SECONDS = 6
COLUMNS = (
    "contract_id, block_number, block_hash, log_index, tx_hash, tx_index, topics, data, event, election_id, context, "
    "retracted_at"
)
KEY = "(contract_id, block_number, block_hash, log_index)"
# Below this, one INSERT is cheaper than COPY through a temporary table.
SMALL = 500


@dataclass(frozen=True, slots=True)
class Position:
    """Where a checkpoint stands, and the nonce that a write must find."""

    number: int
    hash: bytes
    timestamp: int
    nonce: int


@dataclass(frozen=True, slots=True)
class Finality:
    safe: int
    finalized: int


def move_checkpoint(
    *,
    chain_id: int,
    writer: str,
    position: Position,
    number: int,
    block_hash: bytes,
    timestamp: int,
    finality: Finality,
) -> Position:
    """Move the checkpoint by compare-and-set; raise CheckpointMoved when another indexer was first.

    First statement of its transaction: the row's lock makes the loser wait and then find another nonce.
    """
    moved = Checkpoint.objects.filter(pk=chain_id, nonce=position.nonce, writer=writer, halted_at=None).update(
        nonce=position.nonce + 1,
        block_number=number,
        block_hash=block_hash,
        block_timestamp=timestamp,
        safe_block=min(finality.safe, max(number, 0)),
        finalized_block=finality.finalized,
        updated_at=timezone.now(),
        lease_expires_at=timezone.now() + timedelta(seconds=LEASE_SECONDS),
    )
    if not moved:
        raise CheckpointMoved
    return Position(number, block_hash, timestamp, position.nonce + 1)


def write_forward(
    *,
    chain_id: int,
    writer: str,
    position: Position,
    contracts: Sequence[Contract],
    headers: Iterable[Header],
    end: Header,
    from_block: int,
    decoded: DecodedLogs,
    finality: Finality,
) -> tuple[Position, Changes]:
    """Write the blocks up to `end` and move the checkpoint there; fold their events into the elections."""
    started = time.monotonic()
    with transaction.atomic():
        moved = move_checkpoint(
            chain_id=chain_id,
            writer=writer,
            position=position,
            number=end.number,
            block_hash=bytes.fromhex(end.hash[2:]),
            timestamp=end.timestamp,
            finality=finality,
        )
        write_blocks(chain_id=chain_id, headers={header.number: header for header in [*headers, end]})
        write_logs(contracts=contracts, decoded=decoded, from_block=from_block, to_block=end.number)
        cover(contract_ids=[contract.pk for contract in contracts], low=from_block, high=end.number)
        changes = apply_events(events=decoded.events) if decoded.events else Changes()
        changes += advance_head(
            chain_id=chain_id,
            head=BlockRef(end.number, moved.hash, end.timestamp),
            safe_block=min(finality.safe, end.number),
            finalized_block=min(finality.finalized, end.number),
        )
    metrics.commit_seconds.labels(chain_id).observe(time.monotonic() - started)
    count_written(chain_id, decoded, end.number - from_block + 1)
    return moved, changes


def write_behind(
    *,
    chain_id: int,
    writer: str,
    position: Position,
    finality: Finality,
    contract: Contract,
    headers: Iterable[Header],
    low: int,
    high: int,
    decoded: DecodedLogs,
) -> tuple[Position, Changes]:
    """Fill a gap behind the checkpoint for one contract.

    Elections whose later events are there already are folded again; where nothing later is, the events are applied.
    """
    with transaction.atomic():
        moved = move_checkpoint(
            chain_id=chain_id,
            writer=writer,
            position=position,
            number=position.number,
            block_hash=position.hash,
            timestamp=position.timestamp,
            finality=finality,
        )
        write_blocks(chain_id=chain_id, headers={header.number: header for header in headers})
        write_logs(contracts=[contract], decoded=decoded, from_block=low, to_block=high)
        cover(contract_ids=[contract.pk], low=low, high=high)
        has_later = EventLog.objects.canonical().filter(contract=contract, block_number__gte=low)
        if has_later.exclude(block_number__lte=high).exists() or has_later.count() != len(decoded.rows):
            touched = sorted({event.election_id for event in decoded.events})
            found = events_by_election(contract=contract, election_ids=touched)
            changes = refold(chain_id=chain_id, contract=contract.address, events_by_election=found)
            changes = Changes(changes.items, is_reorg=False)
        else:
            changes = apply_events(events=decoded.events)
    count_written(chain_id, decoded, 0)
    return moved, changes


def write_back(
    *,
    chain_id: int,
    writer: str,
    position: Position,
    contracts: Sequence[Contract],
    ancestor: Block,
    finality: Finality,
) -> tuple[Position, Changes, int]:
    """Take back every block above the ancestor: rows are kept and marked, touched elections folded again."""
    now = timezone.now()
    with transaction.atomic():
        moved = move_checkpoint(
            chain_id=chain_id,
            writer=writer,
            position=position,
            number=ancestor.number,
            block_hash=bytes(ancestor.hash),
            timestamp=ancestor.timestamp,
            finality=finality,
        )
        changes, count = Changes(is_reorg=True), 0
        Block.objects.canonical().filter(chain_id=chain_id, number__gt=ancestor.number).update(retracted_at=now)
        for contract in contracts:
            orphaned = EventLog.objects.canonical().filter(contract=contract, block_number__gt=ancestor.number)
            touched = sorted(
                int(election_id)
                for election_id in orphaned.values_list("election_id", flat=True).distinct()
                if election_id is not None
            )
            count += orphaned.update(retracted_at=now)
            DeadLetter.objects.filter(contract=contract, block_number__gt=ancestor.number, retracted_at=None).update(
                retracted_at=now
            )
            if touched:
                found = events_by_election(contract=contract, election_ids=touched)
                changes += refold(chain_id=chain_id, contract=contract.address, events_by_election=found)
        uncover(contract_ids=[contract.pk for contract in contracts], low=ancestor.number + 1, high=1 << 62)
        changes += advance_head(
            chain_id=chain_id,
            head=BlockRef(ancestor.number, moved.hash, ancestor.timestamp),
            safe_block=min(finality.safe, ancestor.number),
            finalized_block=min(finality.finalized, ancestor.number),
        )
        record(
            action="chain.reorg.followed",
            actor="system:indexer",
            target=f"chain:{chain_id}",
            data={"ancestor": ancestor.number, "from": position.number, "logs": count},
        )
    metrics.reorgs.labels(chain_id).inc()
    metrics.reorg_depth.labels(chain_id).observe(position.number - ancestor.number)
    metrics.retracted.labels(chain_id).inc(count)
    return moved, Changes(changes.items, is_reorg=True), count


def write_blocks(*, chain_id: int, headers: Mapping[int, Header]) -> None:
    """Insert headers; one that a reorg had taken away and another brought back is canonical again."""
    Block.objects.bulk_create(
        (
            Block(
                chain_id=chain_id,
                number=header.number,
                hash=bytes.fromhex(header.hash[2:]),
                parent_hash=bytes.fromhex(header.parent_hash[2:]),
                timestamp=header.timestamp,
            )
            for header in headers.values()
        ),
        update_conflicts=True,
        unique_fields=["chain_id", "number", "hash"],
        update_fields=["retracted_at"],
        batch_size=2000,
    )


def write_logs(*, contracts: Sequence[Contract], decoded: DecodedLogs, from_block: int, to_block: int) -> None:
    """Insert logs and dead letters; those that a reorg had taken away and another brought back count again."""
    if decoded.rows:
        there = EventLog.objects.filter(
            contract__in=contracts, block_number__gte=from_block, block_number__lte=to_block
        ).exists()
        with connection.cursor() as cursor:
            if len(decoded.rows) < SMALL:
                insert(cursor, decoded.rows)
            elif not there:
                with cursor.copy(f"COPY chain_eventlog ({COLUMNS}) FROM STDIN") as copy:
                    copy.write("".join(decoded.rows))
            else:
                cursor.execute(
                    "CREATE TEMPORARY TABLE chain_incoming (LIKE chain_eventlog INCLUDING DEFAULTS) ON COMMIT DROP"
                )
                with cursor.copy(f"COPY chain_incoming ({COLUMNS}) FROM STDIN") as copy:
                    copy.write("".join(decoded.rows))
                cursor.execute(
                    f"INSERT INTO chain_eventlog ({COLUMNS}) SELECT {COLUMNS} FROM chain_incoming "  # noqa: S608
                    f"ON CONFLICT {KEY} DO UPDATE SET retracted_at = NULL"
                )
                cursor.execute("DROP TABLE chain_incoming")
    if decoded.dead:
        DeadLetter.objects.bulk_create(
            decoded.dead,
            update_conflicts=True,
            unique_fields=["contract", "block_hash", "log_index"],
            update_fields=["retracted_at"],
        )


def insert(cursor: object, rows: Sequence[str]) -> None:
    """Insert a few rows given as lines of COPY text."""
    types = (
        "int",
        "bigint",
        "bytea",
        "int",
        "bytea",
        "int",
        "bytea",
        "bytea",
        "text",
        "numeric",
        "jsonb",
        "timestamptz",
    )
    line = "(" + ", ".join(f"%s::{kind}" for kind in types) + ")"
    values = [None if text == "\\N" else text.replace("\\\\", "\\", 1) for row in rows for text in row[:-1].split("\t")]
    cursor.execute(  # type: ignore[attr-defined]
        f"INSERT INTO chain_eventlog ({COLUMNS}) VALUES {', '.join([line] * len(rows))} "  # noqa: S608
        f"ON CONFLICT {KEY} DO UPDATE SET retracted_at = NULL",
        values,
    )


def count_written(chain_id: int, decoded: DecodedLogs, blocks: int) -> None:
    for name, count in decoded.counts.items():
        metrics.events_indexed.labels(chain_id, name).inc(count)
    metrics.blocks_indexed.labels(chain_id).inc(blocks)
    if decoded.dead:
        metrics.dead_letters.labels(chain_id).inc(len(decoded.dead))
