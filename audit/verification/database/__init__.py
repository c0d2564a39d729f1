"""Checks the log's tables: every entry against its canonical bytes, the chain, the tree, tiles and checkpoints."""

import psycopg

from audit.note import VerifierKey
from audit.verification.database.chunks import CHUNK_ENTRIES, run_chunks
from audit.verification.database.claims import Claim, check_claims, check_named, read_checkpoints
from audit.verification.database.empty import find_empty
from audit.verification.database.registers import (
    add_from_leaves,
    check_registers,
    name_checkpoints,
    read_registers,
)
from audit.verification.database.rows import differing_fields
from audit.verification.database.tree import Joined, check_upper_tiles, missing
from audit.verification.report import Progress, Report, no_progress

__all__ = ["Claim", "differing_fields", "verify_database"]


# No row of audit_leaf takes less: its header, a number, an id and two empty values.
LEAF_BYTES = 56
WIDEST_HOLE = """
SELECT seq, next
FROM (
    SELECT -1 AS seq, min(seq) AS next FROM audit_leaf WHERE seq >= 0
    UNION ALL
    SELECT seq, lead(seq) OVER (ORDER BY seq) FROM audit_leaf WHERE seq >= 0 AND seq < %s
) AS pair
WHERE next IS NOT NULL ORDER BY next::numeric - seq DESC LIMIT 1
"""

# How long an entry may wait for the sequencer before it is worth a word.
UNSEQUENCED_GRACE = "10 minutes"


def verify_database(
    conninfo: str,
    *,
    keys: list[VerifierKey],
    claims: list[Claim],
    report: Report,
    progress: Progress = no_progress,
    processes: int | None = None,
) -> None:
    """Check the tables, and that the tree had each claimed root at its size; add what is wrong to the report."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        size = read_size(connection, report)
        registered = read_registers(connection)
        named = {claim.tree_size: claim.place for claim in claims} | dict(name_checkpoints(registered))
        check_named(connection, named, report=report)
        claims = [*claims, *read_checkpoints(connection, keys=keys, report=report)]
        joined = Joined()
        try:
            check_entries(connection, conninfo, size, claims, joined, report, progress, processes)
        except Exception:
            # Most of all of a column that is empty, although PostgreSQL allows that to superusers alone.
            report.extend(find_empty(connection))
            raise
        finally:
            add_from_leaves(registered, joined.registered)
            report.extend(check_registers(registered))
        waiting, oldest = connection.execute(
            "SELECT count(*), min(created_at) FROM audit_entry e WHERE created_at < now() - %s::interval"
            " AND NOT EXISTS (SELECT FROM audit_leaf l WHERE l.entry_id = e.id)",
            [UNSEQUENCED_GRACE],
        ).fetchone()  # type: ignore[misc]
        if waiting:
            message = f"{waiting} of them wait for the sequencer, the oldest since {oldest:%Y-%m-%d %H:%M:%S} UTC"
            report.add_unchecked("entries", "entries without a number", message)
    report.tree_size = size
    report.counts |= {"entries": size}


def check_entries(
    connection: psycopg.Connection,
    conninfo: str,
    size: int,
    claims: list[Claim],
    joined: Joined,
    report: Report,
    progress: Progress,
    processes: int | None,
) -> None:
    """Check the entries in chunks, join them into the tree, and compare it with its tiles and with what is claimed."""
    sizes = sorted({claim.tree_size for claim in claims if 0 < claim.tree_size <= size} | ({size} if size else set()))
    for chunk in run_chunks(conninfo, size=size, sizes=sizes, processes=processes):
        report.extend(joined.join(chunk))
        progress("entries", chunk.end, size)
    report.extend(joined.close_hole())
    stray = connection.execute("SELECT seq, entry_id FROM audit_leaf WHERE seq < 0 ORDER BY seq")
    for seq, entry in stray:
        report.add("entries", f"leaf {seq}", f"hides the entry {entry}: the log's numbers begin at 0")
    report.extend(check_upper_tiles(connection, size, joined.tile_roots))
    check_claims(claims, size=size, roots=joined.roots, report=report)


def read_size(connection: psycopg.Connection, report: Report) -> int:
    """Return how many entries the log has, up to a hole that is wider than the log.

    A leaf at a number of somebody's choice (10^18) would have the verification look for all those before it.
    """
    last, table_bytes = connection.execute(
        "SELECT coalesce(max(seq), -1), pg_relation_size('audit_leaf') FROM audit_leaf"
    ).fetchone()  # type: ignore[misc]
    size = last + 1
    while size > table_bytes // LEAF_BYTES + CHUNK_ENTRIES:
        last, behind = connection.execute(WIDEST_HOLE, [size]).fetchone()  # type: ignore[misc]
        place = f"leaf {behind}" if behind == size - 1 else f"leaves {behind} to {size - 1}"
        report.extend([missing(last + 1, behind - 1)])
        report.add("entries", place, "behind a hole that is wider than the log: not looked at")
        size = last + 1
    return size
