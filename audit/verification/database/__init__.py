"""Checks the log's tables: every entry against its canonical bytes, the chain, the tree, tiles and checkpoints."""

import psycopg

from audit.merkle import EMPTY_ROOT
from audit.note import VerifierKey
from audit.verification.database.chunks import run_chunks
from audit.verification.database.claims import Claim, check_claims, read_checkpoints
from audit.verification.database.rows import differing_fields
from audit.verification.database.tree import Joined, check_upper_tiles
from audit.verification.report import Progress, Report, no_progress

__all__ = ["Claim", "differing_fields", "verify_database"]


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
        size: int = connection.execute("SELECT coalesce(max(seq) + 1, 0) FROM audit_leaf").fetchone()[0]  # type: ignore[index]
        claims = [*claims, *read_checkpoints(connection, keys=keys, report=report)]
        sizes = sorted(
            {claim.tree_size for claim in claims if 0 < claim.tree_size <= size} | ({size} if size else set())
        )
        roots: dict[int, bytes | None] = {0: EMPTY_ROOT}
        joined = Joined(roots)
        done = 0
        for chunk in run_chunks(conninfo, size=size, sizes=sizes, processes=processes):
            report.extend(chunk.findings)
            report.extend(joined.join(chunk))
            done = chunk.end
            progress("entries", done, size)
        stray = connection.execute("SELECT seq, entry_id FROM audit_leaf WHERE seq < 0 ORDER BY seq")
        for seq, entry in stray:
            report.add("entries", f"leaf {seq}", f"hides the entry {entry}: the log's numbers begin at 0")
        report.extend(check_upper_tiles(connection, size, joined.tile_roots))
        check_claims(claims, size=size, roots=roots, report=report)
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
