"""Joins checked chunks into the whole tree, and checks the tiles above them."""

from collections.abc import Iterator

import psycopg

from audit.canonical import GENESIS
from audit.merkle import EMPTY_ROOT, TILE_WIDTH, node_hash, perfect_root
from audit.verification.database.chunks import Chunk, compare_tile
from audit.verification.report import Finding


class Joined:
    """Joins checked chunks: what is missing at their edges, the links there, and the roots over their tiles."""

    def __init__(self) -> None:
        self.roots: dict[int, bytes | None] = {0: EMPTY_ROOT}  # of the tree of each size that is asked for
        self.registered: list[tuple[int, bytes]] = []
        self.tile_roots: list[bytes | None] = []
        self.last_hash: bytes | None = GENESIS
        self.peaks: list[tuple[int, bytes]] = []
        self.is_known = True
        self.hole: tuple[int, int] | None = None

    def join(self, chunk: Chunk) -> Iterator[Finding]:
        for first, last in chunk.missing:
            if self.hole is not None and self.hole[1] + 1 == first:
                self.hole = (self.hole[0], last)
            else:
                yield from self.close_hole()
                self.hole = (first, last)
        if self.hole is not None and self.hole[1] + 1 < chunk.end:
            yield from self.close_hole()
        yield from chunk.findings
        self.registered += chunk.registered
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

    def close_hole(self) -> Iterator[Finding]:
        """Report the missing entries that the last chunks ended with, once."""
        if self.hole is not None:
            yield missing(*self.hole)
        self.hole = None

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


def missing(first: int, last: int) -> Finding:
    place = f"entry {first}" if first == last else f"entries {first} to {last}"
    return Finding("entries", place, "missing from the chain")


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
