"""Checks the entries and the lowest tiles in chunks, by as many processes as there are cores.

A chunk takes two reads without a join: its leaves by number, and the entries in the span of their ids, which sort by
time. The usual row costs string formatting and two hashes; only a row that differs is looked at field by field.
"""

import gc
import hashlib
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

import orjson
import psycopg

from audit.merkle import TILE_WIDTH, perfect_root
from audit.verification.database.rows import (
    LEAVES,
    canonical_time_of,
    check_closely,
    previous_of,
    read_entries,
    read_rows,
)
from audit.verification.report import Finding, in_ranges

CHUNK_TILES = 64
CHUNK_ENTRIES = CHUNK_TILES * TILE_WIDTH
# Fewer entries than that are checked in this process: others would take longer to start.
PARALLEL_FROM = 4 * CHUNK_ENTRIES
EXPECTED = (
    b'{"action":"%b","actor":"%b","data":%b,"id":"%b","previous":"%b","request_id":"%b",'
    b'"seq":%b,"target":"%b","time":"%b","transaction":%b,"v":1}'
)

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
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=gc.disable)
    # The collector would walk a chunk's rows again and again, and they hold no cycles.
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        futures = [pool.submit(check_chunk, *job) for job in jobs]
        for job, future in zip(jobs, futures, strict=True):
            # While the others start, and where they lag behind, this process checks too.
            yield check_chunk(*job) if future.cancel() else future.result()
    finally:
        pool.shutdown(cancel_futures=True)
        if is_collecting:
            gc.enable()


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
                try:
                    data = dumps(loads(data), option=sort_keys)
                except (ValueError, TypeError):  # logged as its digest
                    data = b""
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
