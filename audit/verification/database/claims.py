"""What others vouched for: signed checkpoints, exports and anchors, against the tree of today."""

from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg

from audit.note import MAX_TREE_SIZE, NoteError, VerifierKey, open_checkpoint
from audit.verification.report import Report

# As text and as a number: a time may be one that Python has no moment for (`infinity`).
CHECKPOINTS = """
SELECT id, (created_at AT TIME ZONE 'UTC')::text || ' UTC', extract(epoch FROM created_at), tree_size, root_hash, note
FROM audit_checkpoint ORDER BY id
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """A root that somebody vouched for: a signed checkpoint, an export, a block of a chain."""

    part: str
    place: str
    tree_size: int
    root_hash: bytes


def read_checkpoints(connection: psycopg.Connection, *, keys: list[VerifierKey], report: Report) -> list[Claim]:
    """Open every stored checkpoint; return what the whole ones claim."""
    claims: list[Claim] = []
    count = largest = 0
    for id_, created_at, seconds, tree_size, root_hash, note in connection.execute(CHECKPOINTS):
        count += 1
        place = f"checkpoint {id_} (size {tree_size})"
        try:
            signed = open_checkpoint(note or "", keys)
        except NoteError as error:
            report.add("checkpoints", place, str(error))
            continue
        if signed.tree_size != tree_size:
            report.add("checkpoints", place, f"tree_size: is {tree_size}, was signed as {signed.tree_size}")
        if signed.root_hash != root_hash:
            report.add("checkpoints", place, "root_hash: is not the signed one")
        if signed.signed_at is None:
            report.add("checkpoints", place, "note: has no signed time")
        elif seconds != signed.signed_at:
            was = spell_seconds(signed.signed_at)
            report.add("checkpoints", place, f"created_at: is {created_at}, was signed as {was}")
        if signed.tree_size <= largest:
            report.add("checkpoints", place, f"is not larger than one before it ({largest})")
        largest = max(largest, signed.tree_size)
        claims.append(Claim("checkpoints", place, signed.tree_size, signed.root_hash))
    report.counts["checkpoints"] = count
    return claims


def spell_seconds(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (ValueError, OverflowError, OSError):  # signed, but of no calendar
        return f"{seconds} s"


def check_named(connection: psycopg.Connection, named: dict[int, str], *, report: Report) -> None:
    """Find checkpoints that are gone although something was made from them: `named` says what, by their sizes."""
    query = "SELECT size FROM unnest(%s::bigint[]) size WHERE NOT EXISTS"
    query += " (SELECT FROM audit_checkpoint WHERE tree_size = size) ORDER BY size"
    for (tree_size,) in connection.execute(query, [[size for size in named if 0 < size <= MAX_TREE_SIZE]]):
        message = f"is gone, {named[tree_size]} was made from it"
        report.add("checkpoints", f"checkpoint of size {tree_size}", message)


def check_claims(claims: list[Claim], *, size: int, roots: dict[int, bytes | None], report: Report) -> None:
    """Compare claimed roots with the tree's; what is the same for a run of checkpoints is said once."""
    cut = [claim for claim in claims if claim.tree_size > size]
    if cut:
        largest = max(claim.tree_size for claim in cut)
        gone = f"entry {size}" if largest == size + 1 else f"entries {size} to {largest - 1}"
        report.add("entries", gone, f"missing: the log's tail was cut, {cut[-1].place} covers them")
    for part in dict.fromkeys(claim.part for claim in claims):
        unknown = [claim for claim in claims if claim.part == part and roots.get(claim.tree_size, b"") is None]
        wrong = [
            claim
            for claim in claims
            if claim.part == part
            and claim.tree_size <= size
            and roots.get(claim.tree_size) not in (None, claim.root_hash)
        ]
        for group, message in (
            (wrong, "the entries of today do not have the root that it vouches for"),
            (unknown, "cannot be reproduced: entries before its size are missing"),
        ):
            if len(group) > 3:
                report.add(part, f"{group[0].place} to {group[-1].place}", f"{message} ({len(group)} of them)")
            else:
                for claim in group:
                    report.add(part, claim.place, message)
