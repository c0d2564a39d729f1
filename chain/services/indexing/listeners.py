"""Whom the indexer tells what it has committed."""

from collections.abc import Callable
from dataclasses import dataclass

from elections.services import Changes


@dataclass(frozen=True)
class Retraction:
    """Blocks that a reorg took back, for the sockets."""

    chain_id: int
    ancestor: int
    ancestor_hash: str
    taken_back: int
    logs: int


@dataclass(frozen=True)
class IndexProgress:
    """How far the index is, for people who wait."""

    block_number: int
    node_head: int
    events_written: int


@dataclass
class Listeners:
    """Whom the indexer tells what it did, after commit; none of them may stop it."""

    changes: Callable[[Changes], None] = lambda changes: None
    retraction: Callable[[Retraction], None] = lambda retraction: None
    progress: Callable[[IndexProgress], None] = lambda progress: None
