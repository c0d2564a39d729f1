"""Checks the log's tables: every entry against its canonical bytes, the chain, the tree, tiles and checkpoints.

Entries are checked in chunks, by as many processes as there are cores. A chunk takes two reads without a join: its
leaves by number, and the entries in the span of their ids, which sort by time. The usual row costs string formatting
and two hashes; only a row that differs is looked at field by field.
"""

import gc
import hashlib
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.types.string import ByteaBinaryLoader

from audit.canonical import GENESIS, canonical_json, entry_bytes
from audit.merkle import EMPTY_ROOT, TILE_WIDTH, node_hash, perfect_root
from audit.note import NoteError, VerifierKey, open_checkpoint
from audit.verification.report import Finding, Progress, Report, in_ranges, no_progress

CHUNK_TILES = 64
CHUNK_ENTRIES = CHUNK_TILES * TILE_WIDTH
# Fewer entries than that are checked in this process: others would take longer to start.
PARALLEL_FROM = 4 * CHUNK_ENTRIES
# How long an entry may wait for the sequencer before it is worth a word.
UNSEQUENCED_GRACE = "10 minutes"

EXPECTED = (
    b'{"action":"%b","actor":"%b","data":%b,"id":"%b","previous":"%b","request_id":"%b",'
    b'"seq":%b,"target":"%b","time":"%b","transaction":%b,"v":1}'
)
LEAVES = """
SELECT seq::text, entry_id::text, encode(entry_hash, 'hex'), body
FROM audit_leaf AS leaf WHERE leaf.seq >= %s AND leaf.seq < %s ORDER BY leaf.seq
"""
ENTRIES_IN_SPAN = """
SELECT id::text, created_at::text, action, actor, target, data::text, request_id, transaction::text
FROM audit_entry WHERE id >= %s::uuid AND id <= %s::uuid
"""
ENTRIES_LISTED = """
SELECT id::text, created_at::text, action, actor, target, data::text, request_id, transaction::text
FROM audit_entry WHERE id = ANY(%s::uuid[])
"""
Row = tuple[bytes, ...]

_sha256 = hashlib.sha256


@dataclass
class Chunk:
    """What a chunk's check gives to the one who joins them: findings, links at its edges, roots of its tiles."""

    start: int
    end: int
    findings: list[Finding] = field(default_factory=list)
    first_previous: str | None = None
    last_hash: str | None = None
    # Roots of the full tiles; None from where entries are missing on.
    tile_roots: list[bytes | None] = field(default_factory=list)
    # For each checkpointed size in here: the peaks over what it takes of its last tile.
    peaks: dict[int, list[bytes] | None] = field(default_factory=dict)


def canonical_time_of(text: bytes) -> bytes:
    """Turn PostgreSQL's `2026-01-02 03:04:05.6+00` into the canonical `2026-01-02T03:04:05.600000Z`."""
    if len(text) == 29:
        return text[:10] + b"T" + text[11:26] + b"Z"
    moment, _, fraction = text.removesuffix(b"+00").partition(b".")
    return moment.replace(b" ", b"T") + b"." + fraction.ljust(6, b"0") + b"Z"


def read_rows(connection: psycopg.Connection, query: str, parameters: list[Any]) -> list[Row]:
    """Read rows of texts as their bytes, in one result: no decoding, no conversion, no loop of ours for a row."""
    with connection.cursor(binary=True) as cursor:
        for kind in ("text", "varchar"):
            cursor.adapters.register_loader(kind, ByteaBinaryLoader)
        return cursor.execute(query, parameters).fetchall()


def read_entries(connection: psycopg.Connection, ids: list[bytes]) -> dict[bytes, Row]:
    """Read the rows of a chunk's entries: most by the span of their ids, stragglers one by one."""
    ordered = sorted(ids)
    # A transaction that ran for long puts an old id among new ones: it must not stretch the span.
    trim = len(ordered) // 50
    # Anything but a UUIDv7 does not sort by time and would stretch it over the whole table.
    span = [id_ for id_ in ordered[trim : len(ordered) - trim] if id_[14:15] == b"7"]
    found: dict[bytes, Row] = {}
    if span:
        rows = read_rows(connection, ENTRIES_IN_SPAN, [span[0].decode(), span[-1].decode()])
        found = {row[0]: row for row in rows}
    if rest := [id_.decode() for id_ in ids if id_ not in found]:
        found |= {row[0]: row for row in read_rows(connection, ENTRIES_LISTED, [rest])}
    return found


def check_chunk(conninfo: str, start: int, end: int, sizes: list[int]) -> Chunk:
    """Check the entries of [start, end); `sizes` are the checkpointed sizes in (start, end]."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute("SET max_parallel_workers_per_gather = 0")
        return _check_chunk(connection, start, end, sizes)


def _check_chunk(connection: psycopg.Connection, start: int, end: int, sizes: list[int]) -> Chunk:
    chunk = Chunk(start, end)
    leaves = read_rows(connection, LEAVES, [start, end])
    entries = read_entries(connection, [leaf[1] for leaf in leaves])
    loads, dumps, sort_keys = orjson.loads, orjson.dumps, orjson.OPT_SORT_KEYS
    found: list[tuple[int, str]] = []
    hashes: list[bytes] = []
    previous, expected_seq, missing_from = b"", start, None

    for seq, id_, hash_hex, body in leaves:
        number = int(seq)
        if number != expected_seq:
            chunk.findings.append(missing(expected_seq, number - 1))
            missing_from = len(hashes) if missing_from is None else missing_from
            previous = b""
            expected_seq = number
        expected_seq += 1
        row = entries.get(id_)
        if row is not None and previous:
            _, created_at, action, actor, target, data, request_id, transaction = row
            if data != b"{}":
                data = dumps(loads(data), option=sort_keys)
            expected = EXPECTED % (
                action, actor, data, id_, previous, request_id, seq, target, canonical_time_of(created_at), transaction,
            )  # fmt: skip
            digest = _sha256(body).digest()
            if (
                expected == body
                and digest.hex().encode() == hash_hex
                and b'"' not in action
                and b'"' not in actor
                and b'"' not in target
                and b'"' not in request_id
            ):
                hashes.append(_sha256(b"\0" + digest).digest())
                previous = hash_hex
                continue
        digest, problems = check_closely(seq=number, id_=id_, hash_hex=hash_hex, body=body, row=row, previous=previous)
        if chunk.first_previous is None and number == start:
            chunk.first_previous = previous_of(body)
        found += [(number, problem) for problem in problems]
        hashes.append(_sha256(b"\0" + digest).digest())
        previous = digest.hex().encode()
    if expected_seq < end:
        chunk.findings.append(missing(expected_seq, end - 1))
        missing_from = len(hashes) if missing_from is None else missing_from
    chunk.last_hash = previous.decode() if expected_seq == end else None
    chunk.findings += in_ranges("entries", "entries", found)
    whole = (len(hashes) if missing_from is None else missing_from) // TILE_WIDTH
    chunk.findings += check_tiles(connection, chunk, hashes[: whole * TILE_WIDTH])
    chunk.tile_roots += [None] * ((end - start) // TILE_WIDTH - whole)
    for size in sizes:
        rest = hashes[(size - start) // TILE_WIDTH * TILE_WIDTH : size - start]
        is_known = missing_from is None or size - start <= missing_from
        chunk.peaks[size] = peaks_over(rest) if is_known else None
    return chunk


def missing(first: int, last: int) -> Finding:
    place = f"entry {first}" if first == last else f"entries {first} to {last}"
    return Finding("entries", place, "missing from the chain")


def peaks_over(hashes: list[bytes]) -> list[bytes]:
    """Return the roots of the perfect subtrees over less than a tile of leaves, left to right."""
    peaks, start = [], 0
    for bit in range(7, -1, -1):
        if len(hashes) >> bit & 1:
            peaks.append(perfect_root(hashes[start : start + (1 << bit)]))
            start += 1 << bit
    return peaks


def previous_of(body: bytes) -> str | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    previous = content.get("previous") if isinstance(content, dict) else None
    return previous if isinstance(previous, str) else None


def check_closely(
    *, seq: int, id_: bytes, hash_hex: bytes, body: bytes, row: Row | None, previous: bytes
) -> tuple[bytes, list[str]]:
    """Look at one entry field by field; return the hash that the chain goes on with and what is wrong.

    `previous` is empty where this is not known: at a chunk's start, whose link is checked when chunks are joined.
    """
    problems: list[str] = []
    stored = bytes.fromhex(hash_hex.decode())
    in_body = _sha256(body).digest()
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        return stored, ["its canonical bytes (body) are not JSON"]
    linked = previous.decode() or str(content.get("previous"))
    table = _row_fields(row, id_)
    in_row = None
    if table is None:
        problems.append("its row in audit_entry is gone")
    else:
        try:
            in_row = _sha256(entry_bytes(seq=seq, previous=bytes.fromhex(linked), **table)).digest()
        except ValueError:
            in_row = None
    if in_body == stored == in_row:
        return stored, problems
    if in_row == stored:
        return stored, ["its canonical bytes (body) were changed; its row and its hash were not"]
    if in_body == stored:
        # The bytes are the logged ones: they tell which of the others changed.
        if content.get("seq") != seq:
            problems.append(f"seq: stands at {seq}, was logged as {content.get('seq')}")
        if content.get("previous") != linked:
            problems.append("previous: does not name the hash of the entry before it")
        if table is not None:
            problems += _differing_fields(content, table)
        if canonical_json(content) != body:
            problems.append("its canonical bytes (body) are not canonical")
        return stored, problems
    if in_row is not None and in_row == in_body:
        return in_body, ["entry_hash: is not the SHA-256 of its canonical bytes"]
    fields = ", ".join(name.partition(":")[0] for name in _differing_fields(content, table or {})) if table else ""
    problems.append(
        "neither its row nor its canonical bytes have its hash (entry_hash)"
        + (f"; they differ in {fields}" if fields else "")
    )
    return in_body, problems


def _row_fields(row: Row | None, id_: bytes) -> dict[str, Any] | None:
    if row is None:
        return None
    _, created_at, action, actor, target, data, request_id, transaction = row
    return {
        "id": UUID(id_.decode()),
        "created_at": datetime.fromisoformat(canonical_time_of(created_at).decode()),
        "action": action.decode(),
        "actor": actor.decode(),
        "target": target.decode(),
        "data": orjson.loads(data),
        "request_id": request_id.decode(),
        "transaction": int(transaction),
    }


def _differing_fields(content: dict[str, Any], table: dict[str, Any]) -> list[str]:
    """Name the fields in which an entry's row and its logged bytes differ, with both values, shortened."""
    differing = []
    for name, column in (
        ("id", "id"), ("time", "created_at"), ("action", "action"), ("actor", "actor"), ("target", "target"),
        ("data", "data"), ("request_id", "request_id"), ("transaction", "transaction"),
    ):  # fmt: skip
        here = table[column]
        if column == "id":
            here = str(here)
        elif column == "created_at":
            here = here.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if here != content.get(name):
            differing.append(f"{column}: is {_short(here)}, was logged as {_short(content.get(name))}")
    return differing


def differing_fields(here: bytes, there: bytes) -> str:
    """Name the fields in which two canonical bodies differ."""
    try:
        first, second = orjson.loads(here), orjson.loads(there)
        names = [name for name in sorted({*first, *second}) if first.get(name) != second.get(name)]
    except (orjson.JSONDecodeError, TypeError, AttributeError):
        return "one of them is not a JSON object"
    return ", ".join(names) or "their bytes"


def _short(value: Any) -> str:
    text = canonical_json(value).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"


def check_tiles(connection: psycopg.Connection, chunk: Chunk, hashes: list[bytes]) -> list[Finding]:
    """Compare the stored level-0 tiles with the entries' hashes; collect the roots of the full ones."""
    findings: list[Finding] = []
    first = chunk.start // TILE_WIDTH
    count = len(hashes) // TILE_WIDTH
    query = "SELECT index, hashes, root FROM audit_tile WHERE level = 0 AND index >= %s AND index < %s"
    stored = {index: (hashed, root) for index, hashed, root in connection.execute(query, [first, first + count])}
    for number in range(count):
        row = hashes[number * TILE_WIDTH : (number + 1) * TILE_WIDTH]
        root = perfect_root(row)
        chunk.tile_roots.append(root)
        findings += compare_tile(0, first + number, stored.get(first + number), b"".join(row), root)
    return findings


def compare_tile(
    level: int, index: int, stored: tuple[bytes, bytes] | None, hashes: bytes, root: bytes
) -> Iterator[Finding]:
    place = f"tile {level}/{index}"
    if stored is None:
        yield Finding("tiles", place, "is missing")
        return
    if stored[0] != hashes:
        differing = [
            at for at in range(TILE_WIDTH) if stored[0][32 * at : 32 * at + 32] != hashes[32 * at : 32 * at + 32]
        ]
        first = (differing or [0])[0]
        owner = (
            f"entry {index * TILE_WIDTH + first}" if level == 0 else f"tile {level - 1}/{index * TILE_WIDTH + first}"
        )
        if len(differing) > 1:
            yield Finding("tiles", place, f"hashes {first} to {differing[-1]} are not those from {owner} on")
        else:
            yield Finding("tiles", place, f"hash {first} is not that of {owner}")
    if stored[1] != root:
        yield Finding("tiles", place, "its root is not the root over its entries")


@dataclass(frozen=True, slots=True)
class Claim:
    """A root that somebody vouched for: a signed checkpoint, an export, a block of a chain."""

    part: str
    place: str
    tree_size: int
    root_hash: bytes


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


def run_chunks(conninfo: str, *, size: int, sizes: list[int], processes: int | None) -> Iterator[Chunk]:
    """Check all chunks, in order, in this process or in several."""
    spans = [(start, min(start + CHUNK_ENTRIES, size)) for start in range(0, size, CHUNK_ENTRIES)]
    jobs = [(conninfo, start, end, [at for at in sizes if start < at <= end]) for start, end in spans]
    workers = processes or (os.cpu_count() or 1)
    if size < PARALLEL_FROM or workers == 1:
        for job in jobs:
            yield check_chunk(*job)
        return
    # Spawned: a fork of a process that holds connections and threads is not safe.
    context = multiprocessing.get_context("spawn")
    # The collector would walk a chunk's rows again and again, and they hold no cycles.
    with ProcessPoolExecutor(workers, mp_context=context, initializer=gc.disable) as pool:
        yield from pool.map(check_chunk, *zip(*jobs, strict=True))


class Joined:
    """Joins checked chunks: the links at their edges, and the roots over their tiles."""

    def __init__(self, roots: dict[int, bytes | None]) -> None:
        self.roots = roots
        self.tile_roots: list[bytes | None] = []
        self.last_hash: str | None = GENESIS.hex()
        self.peaks: list[tuple[int, bytes]] = []
        self.is_known = True

    def join(self, chunk: Chunk) -> Iterator[Finding]:
        if self.last_hash is not None and chunk.first_previous not in (None, self.last_hash):
            yield Finding("entries", f"entry {chunk.start}", "previous: does not name the hash of the entry before it")
        self.last_hash = chunk.last_hash
        pushed = 0
        for size in sorted(chunk.peaks):
            while pushed < (size - chunk.start) // TILE_WIDTH:
                self.push(chunk.tile_roots[pushed])
                pushed += 1
            rest = chunk.peaks[size]
            self.roots[size] = self.root(rest) if self.is_known and rest is not None else None
        for root in chunk.tile_roots[pushed:]:
            self.push(root)
        self.tile_roots += chunk.tile_roots
        self.is_known = self.is_known and chunk.last_hash is not None and None not in chunk.tile_roots

    def push(self, root: bytes | None) -> None:
        if root is None:
            self.is_known = False
            return
        height = 0
        while self.peaks and self.peaks[-1][0] == height:
            root = node_hash(self.peaks.pop()[1], root)
            height += 1
        self.peaks.append((height, root))

    def root(self, rest: list[bytes]) -> bytes:
        hashes = [hashed for _, hashed in self.peaks] + rest
        if not hashes:
            return EMPTY_ROOT
        root = hashes.pop()
        while hashes:
            root = node_hash(hashes.pop(), root)
        return root


def check_upper_tiles(connection: psycopg.Connection, size: int, roots: list[bytes | None]) -> Iterator[Finding]:
    """Compare the tiles above level 0 with the roots below them; find tiles that should not be there."""
    level, counts = 1, {0: size // TILE_WIDTH}
    while len(roots) >= TILE_WIDTH:
        counts[level] = len(roots) // TILE_WIDTH
        query = "SELECT index, hashes, root FROM audit_tile WHERE level = %s"
        stored = {index: (hashed, root) for index, hashed, root in connection.execute(query, [level])}
        above: list[bytes | None] = []
        for index in range(counts[level]):
            row = roots[index * TILE_WIDTH : (index + 1) * TILE_WIDTH]
            if None in row:
                above.append(None)
                continue
            known = [hashed for hashed in row if hashed is not None]
            root = perfect_root(known)
            above.append(root)
            yield from compare_tile(level, index, stored.get(index), b"".join(known), root)
        roots, level = above, level + 1
    for level, index in connection.execute("SELECT level, index FROM audit_tile ORDER BY level, index"):
        if index >= counts.get(level, 0) or index < 0:
            yield Finding("tiles", f"tile {level}/{index}", "there are no entries for it")


def read_checkpoints(connection: psycopg.Connection, *, keys: list[VerifierKey], report: Report) -> list[Claim]:
    """Open every stored checkpoint; return what the whole ones claim."""
    claims: list[Claim] = []
    query = "SELECT id, tree_size, root_hash, note FROM audit_checkpoint ORDER BY id"
    count = largest = 0
    for id_, tree_size, root_hash, note in connection.execute(query):
        count += 1
        place = f"checkpoint {id_} (size {tree_size})"
        try:
            signed = open_checkpoint(note, keys)
        except NoteError as error:
            report.add("checkpoints", place, str(error))
            continue
        if signed.tree_size != tree_size:
            report.add("checkpoints", place, f"tree_size: is {tree_size}, was signed as {signed.tree_size}")
        if signed.root_hash != root_hash:
            report.add("checkpoints", place, "root_hash: is not the signed one")
        if signed.tree_size < largest:
            report.add("checkpoints", place, f"smaller than one before it ({largest})")
        largest = max(largest, signed.tree_size)
        claims.append(Claim("checkpoints", place, signed.tree_size, signed.root_hash))
    report.counts["checkpoints"] = count
    return claims


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
