"""Reorgs: from the node's chain down by hash to a block that is ours too; what is above is taken back."""

import logging
import time
from dataclasses import dataclass
from typing import NoReturn

from chain import metrics
from chain.exceptions import BlockNotFound, NodeUntrustworthy
from chain.models import Block
from chain.reading import Head, Header
from chain.services.indexing.index import BEFORE_GENESIS, Index
from chain.services.indexing.listeners import Retraction
from chain.services.writing import Finality, write_back

logger = logging.getLogger(__name__)

# A lower head is believed when it was seen so often and for so long: one stale answer is not a rollback.
REGRESSIONS_BELIEVED = 3
REGRESSION_SECONDS = 1.5
REGRESSION_PAUSE_SECONDS = 0.2
# A halt needs an operator: one wrong answer must not cause it.
CONTRADICTIONS_BELIEVED = 3


@dataclass
class Regression:
    """A head below our position, as seen again and again."""

    count: int = 0
    since: float = 0.0

    def is_believed(self) -> bool:
        """Count one more sight, and judge: a stale answer passes, a rollback stays."""
        now = time.monotonic()
        if self.count == 0:
            self.since = now
        self.count += 1
        return self.count >= REGRESSIONS_BELIEVED and now - self.since >= REGRESSION_SECONDS


def wait_out_regression() -> None:
    """Let a stale endpoint catch up before the next question."""
    metrics.distrust.labels("any", "head_regression").inc()
    time.sleep(REGRESSION_PAUSE_SECONDS)


def reorganise(*, index: Index, head: Head) -> None:
    """Find the newest block that the node's chain and ours share, and take back every block above it.

    Raises IndexerHalted where that would undo what is final.
    """
    ancestor = find_ancestor(index, head)
    before = index.position.number
    if ancestor.number >= before:
        # Either the node has come back to our chain in the meantime, or an answer was wrong: ask again, not at once.
        raise NodeUntrustworthy("a reorg that is none: the node's chain is ours", check="phantom_reorg")
    finality = Finality(min(index.finality.safe, ancestor.number), index.finality.finalized)
    position, changes, logs = write_back(
        chain_id=index.chain_id,
        writer=index.writer,
        position=index.position,
        contracts=index.contracts,
        ancestor=Block(
            chain_id=index.chain_id,
            number=ancestor.number,
            hash=bytes.fromhex(ancestor.hash[2:]),
            parent_hash=bytes.fromhex(ancestor.parent_hash[2:]),
            timestamp=ancestor.timestamp,
        ),
        finality=finality,
    )
    index.stand_on(ancestor, position, finality)
    taken_back = before - ancestor.number
    logger.warning("reorg followed", extra={"ancestor": ancestor.number, "taken_back": taken_back, "logs": logs})
    index.retractions.append(Retraction(index.chain_id, ancestor.number, ancestor.hash, taken_back, logs))
    index.tell(changes)


def find_ancestor(index: Index, head: Head) -> Header:
    """Walk by hash from the node's chain down to a block that is ours too."""
    top = min(index.position.number, head.header.number)
    if top <= index.finality.finalized:
        refuse_below_finality(index, top)
    current = head.header if head.header.number == top else index.reader.header(top)
    # All chains share what is before block 0.
    while current.number >= 0 and index.window.get(current.number, ("",))[0] != current.hash:
        if current.number <= index.finality.finalized:
            refuse_below_finality(index, current.number)
        if current.number not in index.window:
            # Only after a review: below what was final, not every block is stored.
            return find_old_ancestor(index, current.number)
        current = parent_of(index, current)
    return current


def parent_of(index: Index, header: Header) -> Header:
    """Read a block's parent: by hash, or by height where the node has lost the hash of a block that it serves."""
    if header.number == 0:
        return BEFORE_GENESIS
    try:
        return index.reader.header_by_hash(header.parent_hash)
    except BlockNotFound:
        parent = index.reader.header(header.number - 1)
        if parent.hash != header.parent_hash:
            # The chain moved while we walked: begin again at the new head.
            raise
        return parent


def find_old_ancestor(index: Index, below: int) -> Header:
    """Find the newest stored block below a height, however old, that the node still has."""
    stored = Block.objects.canonical().filter(chain_id=index.chain_id, number__lt=below)
    for block in stored.order_by("-number").iterator():
        try:
            header = index.reader.header(block.number)
        except BlockNotFound:
            continue
        if header.hash == "0x" + bytes(block.hash).hex():
            return header
    return block_before(index, min(contract.deployment_block for contract in index.contracts))


def block_before(index: Index, number: int) -> Header:
    """Read the parent of a block, held against its child: all that follows must stand on it."""
    return index.reader.headers([number - 1, number])[0] if number > 0 else BEFORE_GENESIS


def refuse_below_finality(index: Index, number: int) -> NoReturn:
    """Halt once the contradiction has been seen several times in a row; until then it is a wrong answer."""
    index.contradictions += 1
    if index.contradictions < CONTRADICTIONS_BELIEVED:
        raise NodeUntrustworthy(f"block {number} is not the one that is final", check="reorg_below_finality")
    index.halt(
        "reorg_below_finality",
        f"the node's chain differs from the indexed one at or below block {number}, but {index.finality.finalized} "
        "is final: nothing was changed. Find out which chain is right, then run "
        "`manage.py index_chain --resume-after-review`",
    )
