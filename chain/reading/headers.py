"""Headers as a node gives them, checked."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chain.exceptions import BlockNotFound, NodeUntrustworthy

HASH_LENGTH = 66
# What the database keeps of a number; no chain comes near it.
LARGEST = 2**63


@dataclass(frozen=True, slots=True)
class Header:
    """A block header; hashes as `0x…`."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int
    bloom: int


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block, and how far the chain is safe and finalized."""

    header: Header
    safe: int
    finalized: int


def parse_header(raw: Any, *, node: str = "", number: int | None = None) -> Header:
    """Check a header's shape, and its height where one was asked for; BlockNotFound when there is none."""
    if raw is None:
        raise BlockNotFound("the block is not there", node=node)
    try:
        header = Header(
            number=int(raw["number"], 16),
            hash=raw["hash"].lower(),
            parent_hash=raw["parentHash"].lower(),
            timestamp=int(raw["timestamp"], 16),
            bloom=int(raw["logsBloom"], 16),
        )
        bytes.fromhex(header.hash[2:]), bytes.fromhex(header.parent_hash[2:])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NodeUntrustworthy(f"malformed header: {type(error).__name__}", node=node, check="header") from error
    if len(header.hash) != HASH_LENGTH or len(header.parent_hash) != HASH_LENGTH:
        raise NodeUntrustworthy("malformed header: hash length", node=node, check="header")
    if not (0 <= header.number < LARGEST and 0 <= header.timestamp < LARGEST and header.bloom >= 0):
        raise NodeUntrustworthy("malformed header: a number out of bounds", node=node, check="header")
    if number is not None and header.number != number:
        raise NodeUntrustworthy(f"asked for block {number}, got {header.number}", node=node, check="block_number")
    return header


def parse_headers(raws: Sequence[Any], numbers: Sequence[int], *, node: str) -> list[Header]:
    """Check the headers of these heights; neighbours must be parent and child."""
    headers = [parse_header(raw, node=node, number=number) for raw, number in zip(raws, numbers, strict=True)]
    for parent, child in itertools.pairwise(headers):
        if child.number == parent.number + 1 and child.parent_hash != parent.hash:
            raise NodeUntrustworthy(
                f"block {child.number} is not the child of {parent.number}", node=node, check="broken_link"
            )
    return headers
