"""RFC 6962's Merkle tree, its proofs, and its tiles (C2SP tlog-tiles).

Pure: the offline verifier imports it without Django. A `Reader` answers with the hash of the complete subtree of
2^height leaves whose number, among those of its height, is `index`.
"""

import hashlib
import re
from collections.abc import Callable, Sequence

TILE_WIDTH = 256
TILE_HEIGHT = 8
EMPTY_ROOT = hashlib.sha256(b"").digest()

Reader = Callable[[int, int], bytes]
_sha256 = hashlib.sha256


def leaf_hash(record: bytes) -> bytes:
    return _sha256(b"\0" + record).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return _sha256(b"\1" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Hash a power of two of sibling hashes up to their root."""
    while len(hashes) > 1:
        hashes = [_sha256(b"\1" + left + right).digest() for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]


def range_hash(start: int, end: int, read: Reader) -> bytes:
    """Return MTH(D[start:end]); `start` is aligned as the recursion of RFC 6962 aligns it."""
    size = end - start
    if size & (size - 1) == 0:
        height = size.bit_length() - 1
        return read(height, start >> height)
    split = start + (1 << ((size - 1).bit_length() - 1))
    return node_hash(range_hash(start, split, read), range_hash(split, end, read))


def root_hash(size: int, read: Reader) -> bytes:
    """Return the root of the tree's first `size` leaves."""
    return range_hash(0, size, read) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, read: Reader) -> list[bytes]:
    """Return PATH(index, D[size]) of RFC 6962, 2.1.1."""
    if not 0 <= index < size:
        raise ValueError("no such leaf")
    path, start, end = [], 0, size
    while end - start > 1:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if index < split:
            path.append(range_hash(split, end, read))
            end = split
        else:
            path.append(range_hash(start, split, read))
            start = split
    return path[::-1]


def consistency_proof(old: int, new: int, read: Reader) -> list[bytes]:
    """Return PROOF(old, D[new]) of RFC 6962, 2.1.2."""
    if not 0 < old <= new:
        raise ValueError("no such sizes")
    path, start, end, is_whole = [], 0, new, True
    while old != end:
        split = start + (1 << ((end - start - 1).bit_length() - 1))
        if old <= split:
            path.append(range_hash(split, end, read))
            end = split
        else:
            path.append(range_hash(start, split, read))
            start, is_whole = split, False
    return ([] if is_whole else [range_hash(start, end, read)]) + path[::-1]


def verify_inclusion(*, leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Check an inclusion proof by RFC 9162, 2.1.3.2."""
    if not 0 <= index < size:
        return False
    first, second, current = index, size - 1, leaf
    for sibling in path:
        if second == 0:
            return False
        if first & 1 or first == second:
            current = node_hash(sibling, current)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            current = node_hash(current, sibling)
        first, second = first >> 1, second >> 1
    return second == 0 and current == root


def verify_consistency(*, old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Check a consistency proof by RFC 9162, 2.1.4.2."""
    if not 0 < old <= new:
        return False
    if old == new:
        return not path and old_root == new_root
    steps = list(path)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        return False
    first, second = old - 1, new - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    from_old = from_new = steps[0]
    for sibling in steps[1:]:
        if second == 0:
            return False
        if first & 1 or first == second:
            from_old, from_new = node_hash(sibling, from_old), node_hash(sibling, from_new)
            while not first & 1 and first:
                first, second = first >> 1, second >> 1
        else:
            from_new = node_hash(from_new, sibling)
        first, second = first >> 1, second >> 1
    return second == 0 and from_old == old_root and from_new == new_root


class GrowingTree:
    """The right edge of a tree, as the hashes of each level that no full tile holds yet."""

    def __init__(self, size: int = 0, levels: Sequence[Sequence[bytes]] = ()) -> None:
        self.size = size
        self.levels: list[list[bytes]] = [list(level) for level in levels] or [[]]

    def append(self, leaf: bytes) -> list[tuple[int, int, bytes, bytes]]:
        """Add a leaf's hash; return the tiles that it filled as (level, index, hashes, root)."""
        self.size += 1
        filled: list[tuple[int, int, bytes, bytes]] = []
        level, hashed = 0, leaf
        while True:
            if level == len(self.levels):
                self.levels.append([])
            row = self.levels[level]
            row.append(hashed)
            if len(row) < TILE_WIDTH:
                return filled
            hashed = perfect_root(row)
            filled.append((level, (self.size >> (TILE_HEIGHT * (level + 1))) - 1, b"".join(row), hashed))
            row.clear()
            level += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        peaks: list[bytes] = []
        for row in reversed(self.levels):
            start = 0
            for bit in range(TILE_HEIGHT - 1, -1, -1):
                if len(row) >> bit & 1:
                    peaks.append(perfect_root(row[start : start + (1 << bit)]))
                    start += 1 << bit
        if not peaks:
            return EMPTY_ROOT
        root = peaks.pop()
        while peaks:
            root = node_hash(peaks.pop(), root)
        return root


def tile_width(level: int, index: int, size: int) -> int:
    """Return how many hashes a tile holds in a tree of a size: 0 to 256."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH))


def tiles_over(start: int, size: int) -> list[tuple[int, int, int]]:
    """List the (level, index, width) of the tiles that hold leaves from `start` on, or their ancestors."""
    tiles, level = [], 0
    while size >> (TILE_HEIGHT * level):
        first = (start >> (TILE_HEIGHT * level)) // TILE_WIDTH
        last = ((size >> (TILE_HEIGHT * level)) - 1) // TILE_WIDTH
        tiles += [(level, index, tile_width(level, index, size)) for index in range(first, last + 1)]
        level += 1
    return tiles


def tile_reader(fetch: Callable[[int, int], bytes]) -> Reader:
    """Read subtrees out of tiles; `fetch(level, index)` returns a tile's hashes, as many as there are, concatenated."""
    cache: dict[tuple[int, int], bytes] = {}

    def read(height: int, index: int) -> bytes:
        level, within = divmod(height, TILE_HEIGHT)
        first = index << within
        tile_index, offset = divmod(first, TILE_WIDTH)
        key = (level, tile_index)
        if key not in cache:
            cache[key] = fetch(*key)
        row = cache[key][32 * offset : 32 * (offset + (1 << within))]
        if len(row) != 32 << within:
            raise LookupError(f"tile {level}/{tile_index} is too short")
        return perfect_root([row[at : at + 32] for at in range(0, len(row), 32)])

    return read


TILE_PATH = re.compile(r"((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


def index_path(index: int) -> str:
    """Spell a tile's number in groups of three digits, all but the last marked: 1234067 → `x001/x234/067`."""
    groups = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        groups.append(f"x{index % 1000:03d}")
    return "/".join(reversed(groups))


def tile_path(level: int | str, index: int, width: int = TILE_WIDTH) -> str:
    """Spell a tile's path below the log's prefix; `level` is `entries` for the entries' bundles."""
    return f"tile/{level}/{index_path(index)}" + ("" if width == TILE_WIDTH else f".p/{width}")


def parse_tile_path(text: str) -> tuple[int, int] | None:
    """Read `x001/x234/067[.p/5]` as (index, width); None for any other spelling of it."""
    match = TILE_PATH.fullmatch(text)
    if not match or len(match[1]) > 28:
        return None
    index, width = int(match[1].replace("x", "").replace("/", "")), int(match[2] or TILE_WIDTH)
    is_canonical = index_path(index) == match[1] and (match[2] is None or 0 < width < TILE_WIDTH)
    return (index, width) if is_canonical else None
