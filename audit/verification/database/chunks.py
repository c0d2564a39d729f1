"""Checks the entries and the lowest tiles in chunks, by as many processes as there are cores.

A chunk takes two reads without a join: its leaves by number, and the entries in the span of their ids, which sort by
time. The usual row costs string formatting and two hashes; only a row that differs is looked at field by field.
"""

import gc
import hashlib
import multiprocessing.util
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import orjson
import psycopg

from audit.merkle import TILE_WIDTH, perfect_root
from audit.registers import REGISTER_ACTIONS
from audit.verification.database.rows import (
    check_closely,
    connect,
    minute_of,
    previous_of,
    read_entries,
    read_leaves,
)
from audit.verification.report import Finding, in_ranges

CHUNK_TILES = 16
CHUNK_ENTRIES = CHUNK_TILES * TILE_WIDTH
# Fewer entries than that are checked in this process: others would take longer to start.
PARALLEL_FROM = 4 * CHUNK_ENTRIES
EXPECTED = (
    b'{"action":"%b","actor":"%b","data":%b,"id":"%b","previous":"%b","request_id":"%b",'
    b'"seq":%d,"target":"%b","time":"%b%b%06dZ","transaction":%d,"v":1}'
)
EMPTY_OBJECT = b"\x01{}"  # in jsonb's binary format
MINUTE = 60_000_000
SECONDS = [b"%02d." % second for second in range(60)]
QUOTE, BACKSLASH = b'"\\'
REGISTERED = tuple(b'{"action":"%b"' % action.encode() for action in REGISTER_ACTIONS)

_sha256 = hashlib.sha256


@dataclass
class Chunk:
    """What a chunk's check gives to the one who joins them: findings, links at its edges, roots of its tiles."""

    start: int
    end: int
    # First and last number of each run of missing entries.
    missing: list[tuple[int, int]] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    first_previous: bytes | None = None
    last_hash: bytes | None = None
    # Number and bytes of the entries that vouch for exports, anchors and verifications.
    registered: list[tuple[int, bytes]] = field(default_factory=list)
    # Roots of the full tiles; None from where entries are missing on.
    tile_roots: list[bytes | None] = field(default_factory=list)
    # For each checkpointed size in here: the peaks over what it takes of its last tile.
    peaks: dict[int, list[bytes] | None] = field(default_factory=dict)


def run_chunks(conninfo: str, *, size: int, sizes: list[int], processes: int | None) -> Iterator[Chunk]:
    """Check all chunks, in order, in this process or in several."""
    spans = [(start, min(start + CHUNK_ENTRIES, size)) for start in range(0, size, CHUNK_ENTRIES)]
    jobs = [(start, end, [at for at in sizes if start < at <= end]) for start, end in spans]
    workers = processes or (os.cpu_count() or 1)
    with connect(conninfo) as connection:
        if size < PARALLEL_FROM or workers == 1:
            for job in jobs:
                yield check_chunk(connection, *job)
            return
        # Spawned: a fork of a process that holds connections and threads is not safe.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=start_worker, initargs=(conninfo,))
        # The collector would walk a chunk's rows again and again, and they hold no cycles.
        is_collecting = gc.isenabled()
        gc.disable()
        try:
            futures = [pool.submit(check_in_worker, *job) for job in jobs]
            for job, future in zip(jobs, futures, strict=True):
                # While the others start, and where they lag behind, this process checks too.
                yield check_chunk(connection, *job) if future.cancel() else future.result()
        finally:
            pool.shutdown(cancel_futures=True)
            if is_collecting:
                gc.enable()


_worker_connection: psycopg.Connection


def start_worker(conninfo: str) -> None:
    """Open the connection that a process keeps for its chunks."""
    global _worker_connection
    gc.disable()
    _worker_connection = connect(conninfo)
    multiprocessing.util.Finalize(None, _worker_connection.close, exitpriority=1)


def check_in_worker(start: int, end: int, sizes: list[int]) -> Chunk:
    return check_chunk(_worker_connection, start, end, sizes)


def check_chunk(connection: psycopg.Connection, start: int, end: int, sizes: list[int]) -> Chunk:
    """Check the entries of [start, end); `sizes` are the checkpointed sizes in (start, end]."""
    leaves = read_leaves(connection, start, end)
    chunk = Chunk(start, end, registered=[(seq, body) for seq, _, _, body in leaves if body.startswith(REGISTERED)])
    entries = read_entries(connection, [leaf[1] for leaf in leaves])
    loads, dumps, sort_keys = orjson.loads, orjson.dumps, orjson.OPT_SORT_KEYS
    found: list[tuple[int, str]] = []
    hashes: list[bytes] = []
    previous: bytes | None = None
    expected_seq, missing_from = start, None

    for seq, id_, stored, body in leaves:
        if seq != expected_seq:
            chunk.missing.append((expected_seq, seq - 1))
            missing_from = len(hashes) if missing_from is None else missing_from
            previous = None
            expected_seq = seq
        expected_seq += 1
        row = entries.get(id_)
        if row is not None and previous is not None:
            _, id_text, created_at, action, actor, target, data, request_id, transaction = row
            minutes, in_minute = divmod(created_at, MINUTE)
            second, micros = divmod(in_minute, 1_000_000)
            try:
                minute = minute_of(minutes)
                data = b"{}" if data == EMPTY_OBJECT else dumps(loads(data[1:]), option=sort_keys)
            except (ValueError, TypeError, OverflowError):
                minute = data = b""  # logged as its digest, or not a moment: looked at closely
            expected = EXPECTED % (
                action, actor, data, id_text, previous.hex().encode(), request_id, seq, target,
                minute, SECONDS[second], micros, transaction,
            )  # fmt: skip
            names = action + actor + target + request_id
            digest = _sha256(body).digest()
            # What JSON would escape could make two rows of the same bytes.
            if expected == body and digest == stored and QUOTE not in names and BACKSLASH not in names:
                hashes.append(_sha256(b"\0" + digest).digest())
                previous = digest
                continue
        digest, problems = check_closely(seq=seq, stored=stored, body=body, row=row, previous=previous)
        if chunk.first_previous is None and seq == start:
            chunk.first_previous = previous_of(body)
        found += [(seq, problem) for problem in problems]
        hashes.append(_sha256(b"\0" + digest).digest())
        previous = digest
    if expected_seq < end:
        chunk.missing.append((expected_seq, end - 1))
        missing_from = len(hashes) if missing_from is None else missing_from
    chunk.last_hash = previous if expected_seq == end else None
    chunk.findings += in_ranges("entries", "entries", found)
    whole = (len(hashes) if missing_from is None else missing_from) // TILE_WIDTH
    chunk.findings += check_tiles(connection, chunk, hashes[: whole * TILE_WIDTH])
    chunk.tile_roots += [None] * ((end - start) // TILE_WIDTH - whole)
    for size in sizes:
        rest = hashes[(size - start) // TILE_WIDTH * TILE_WIDTH : size - start]
        is_known = missing_from is None or size - start <= missing_from
        chunk.peaks[size] = peaks_over(rest) if is_known else None
    return chunk


def peaks_over(hashes: list[bytes]) -> list[bytes]:
    """Return the roots of the perfect subtrees over less than a tile of leaves, left to right."""
    peaks, start = [], 0
    for bit in range(7, -1, -1):
        if len(hashes) >> bit & 1:
            peaks.append(perfect_root(hashes[start : start + (1 << bit)]))
            start += 1 << bit
    return peaks


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
