"""Checks an export's entries, line by line: in this process, or in as many as there are cores.

A line's check needs nothing but the line; what joins them (the link from one block to the next) is kept for the reader.
"""

import gc
import hashlib
import multiprocessing
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field

import orjson

from audit.canonical import FIELDS, canonical_json
from audit.verification.bundles.sources import BundleFile, BundleUnreadable

BLOCK_BYTES = 1 << 20
# PostgreSQL's jsonb ends there: no entry's data is longer.
MAX_LINE = 256 << 20
# Fewer entries than that are checked in this process: others would take longer to start.
PARALLEL_FROM = 100_000
_FIELDS = frozenset(FIELDS)


@dataclass(slots=True)
class Block:
    """What a run of lines says: hashes of its leaves, what is wrong with which, and the links at its edges."""

    hashes: bytes = b""  # 32 bytes each: one object crosses from process to process, not thousands
    found: list[tuple[int, str]] = field(default_factory=list)
    first_previous: str | None = None  # None: its first line is no entry
    last_hash: str = ""


def check_block(text: bytes, first_seq: int) -> Block:
    """Check lines that end in newlines (the last may lack it), the first of which is the entry `first_seq`."""
    block = Block()
    found = block.found
    hashes: list[bytes] = []
    loads, dumps, sha256, sort_keys, fields = orjson.loads, orjson.dumps, hashlib.sha256, orjson.OPT_SORT_KEYS, _FIELDS
    lines = text.split(b"\n")
    if not lines[-1]:
        lines.pop()
    previous = ""
    seq = first_seq
    for body in lines:
        digest = sha256(body).digest()
        try:
            content = loads(body)
            if dumps(content, option=sort_keys) != body and canonical_json(content) != body:
                found.append((seq, "its bytes are not canonical"))
            if content.keys() != fields:
                found.append((seq, "it has not the fields of an entry"))
            elif content["seq"] != seq:
                found.append((seq, f"seq: stands at {seq}, says {content['seq']}"))
            elif not previous:
                block.first_previous = str(content["previous"])
            elif content["previous"] != previous:
                found.append((seq, "previous: does not name the hash of the entry before it"))
        except (ValueError, AttributeError, TypeError, RecursionError):
            found.append((seq, "is not a JSON object"))
        previous = digest.hex()
        hashes.append(sha256(b"\0" + digest).digest())
        seq += 1
    block.hashes = b"".join(hashes)
    block.last_hash = previous
    return block


def blocks_of(file: BundleFile) -> Iterator[bytes]:
    """Cut a file into blocks of whole lines, about a megabyte each; raise BundleUnreadable where a line has no end."""
    rest: list[bytes] = []
    length = 0
    while read := file.read(BLOCK_BYTES):
        cut = read.rfind(b"\n") + 1
        if cut:
            rest.append(read[:cut])
            yield b"".join(rest)
            rest, length = [], 0
        rest.append(read[cut:])
        length += len(read) - cut
        if length > MAX_LINE:
            raise BundleUnreadable(f"{file.name}: one of its lines is longer than any entry")
    if last := b"".join(rest):
        yield last


def count_lines(text: bytes) -> int:
    return text.count(b"\n") + (not text.endswith(b"\n"))


def check_lines(blocks: Iterator[bytes], *, first_seq: int, total: int) -> Iterator[Block]:
    """Check all lines, in order; with many of them, in several processes."""
    workers = os.cpu_count() or 1
    seq = first_seq
    if total < PARALLEL_FROM or workers == 1 or multiprocessing.current_process().daemon:
        for text in blocks:
            yield check_block(text, seq)
            seq += count_lines(text)
        return
    with ExitStack() as stack:
        # Spawned: a fork of a process that holds connections and threads is not safe.
        context = multiprocessing.get_context("spawn")
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=gc.disable)
        stack.callback(pool.shutdown, cancel_futures=True)
        running: deque[Future[Block]] = deque()
        for text in blocks:
            running.append(pool.submit(check_block, text, seq))
            seq += count_lines(text)
            if len(running) > 3 * workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
