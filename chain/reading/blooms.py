"""What a header's bloom says about logs: some cannot be there, and for some that are missing it still has bits."""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

from eth_utils import keccak

from chain.reading.headers import Header

# A block with more of our logs is not held against its bloom: so many bits explain any, and each topic costs a hash.
MAX_EXPLAINED_LOGS = 64


@functools.lru_cache(maxsize=4096)
def bloom_mask(part: str) -> int:
    """Return the three bits of a 2048-bit bloom that an address or a topic sets (Yellow Paper, 4.3.1)."""
    digest = keccak(bytes.fromhex(part[2:]))
    mask = 0
    for position in (0, 2, 4):
        mask |= 1 << (int.from_bytes(digest[position : position + 2], "big") & 2047)
    return mask


def bloom_of(logs: Iterable[dict[str, Any]]) -> int:
    """Return the bloom that a block has when these are all its logs."""
    bloom = 0
    for log in logs:
        bloom |= bloom_mask(log["address"])
        for topic in log["topics"]:
            bloom |= bloom_mask(topic)
    return bloom


def may_hold(header: Header, addresses: Iterable[str]) -> bool:
    """Tell whether a block's bloom admits logs of any of the addresses."""
    return any(header.bloom & mask == mask for mask in map(bloom_mask, addresses))


def is_explained(header: Header, logs: Sequence[dict[str, Any]]) -> bool:
    """Tell whether these logs account for every bit of a block's bloom, so that none with other topics is missing."""
    return len(logs) <= MAX_EXPLAINED_LOGS and header.bloom & ~bloom_of(logs) == 0
