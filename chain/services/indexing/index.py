"""The index as its writer knows it: position, finality, window; and what every kind of progress has in common."""

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from chain import metrics
from chain.exceptions import IndexerHalted
from chain.models import Checkpoint, Contract
from chain.reading import Head, Header, Reader
from chain.selectors import list_window
from chain.services.decoding import DecodedLogs, decode_logs, read_contexts
from chain.services.indexing.halting import halt
from chain.services.indexing.listeners import IndexProgress, Listeners, Retraction
from chain.services.indexing.ranges import MAX_CHECKED_RANGE_BLOCKS, MAX_RANGE_BLOCKS, RangeSize
from chain.services.writing import Finality, Position, write_forward
from elections.services import Changes

logger = logging.getLogger(__name__)

# While it catches up, the indexer publishes what changed so often: readers of an old chain can wait, and every
# publishing waits out the readers' caches.
CATCHING_UP_PUBLISH_SECONDS = 1.0
NO_HASH = "0x" + "00" * 32
# The parent of block 0.
BEFORE_GENESIS = Header(-1, NO_HASH, NO_HASH, 0, 0)


@dataclass
class Index:
    """The index of one chain's contracts, as one writer holds it in memory; not safe to share between threads."""

    reader: Reader
    chain_id: int
    writer: str
    range_blocks: int = 2000
    listeners: Listeners = field(default_factory=Listeners)

    contracts: list[Contract] = field(default_factory=list, init=False)
    position: Position = field(init=False)
    finality: Finality = field(init=False)
    # Canonical headers from the finalized block on, by number: (hash, parent hash).
    window: dict[int, tuple[str, str]] = field(default_factory=dict, init=False)
    head: Head | None = field(default=None, init=False)
    events_written: int = field(default=0, init=False)
    # How often in a row a node's chain contradicted what is final.
    contradictions: int = field(default=0, init=False)
    has_gaps: bool = field(default=True, init=False)
    unpublished: Changes = field(default_factory=Changes, init=False)
    retractions: list[Retraction] = field(default_factory=list, init=False)
    published_at: float = field(default=0.0, init=False)
    range_size: RangeSize = field(init=False)

    def __post_init__(self) -> None:
        cap = MAX_CHECKED_RANGE_BLOCKS if self.reader.checks_all_headers else MAX_RANGE_BLOCKS
        self.range_size = RangeSize(min(self.range_blocks, cap), cap)

    @property
    def addresses(self) -> list[str]:
        return [contract.address for contract in self.contracts]

    @property
    def top_hash(self) -> str:
        """The hash of the block that we stand on."""
        return "0x" + self.position.hash.hex()

    def load(self) -> None:
        """Read position and window back from the database, and check that the window is one chain."""
        checkpoint = Checkpoint.objects.get(pk=self.chain_id)
        self.position = Position(
            checkpoint.block_number, bytes(checkpoint.block_hash), checkpoint.block_timestamp, checkpoint.nonce
        )
        self.finality = Finality(checkpoint.safe_block, checkpoint.finalized_block)
        metrics.halted.labels(self.chain_id).set(1 if checkpoint.halted_at else 0)
        if checkpoint.halted_at:
            raise IndexerHalted(checkpoint.halt_reason, code=checkpoint.halt_code)
        low = min(self.finality.finalized, self.position.number)
        self.window = {
            block.number: ("0x" + bytes(block.hash).hex(), "0x" + bytes(block.parent_hash).hex())
            for block in list_window(chain_id=self.chain_id, from_block=low)
        }
        self.window[self.position.number] = self.top_hash, self.window.get(self.position.number, ("", ""))[1]
        for number in sorted(self.window):
            parent = self.window.get(number - 1)
            if number > self.finality.finalized and parent and self.window[number][1] not in ("", parent[0]):
                self.halt("stored_window_broken", f"stored block {number} is not the child of stored {number - 1}")
        self.has_gaps = True
        metrics.is_leader.labels(self.chain_id).set(1)

    def halt(self, code: str, reason: str) -> NoReturn:
        """Stop writing until an operator has looked; raises IndexerHalted."""
        halt(chain_id=self.chain_id, writer=self.writer, code=code, reason=reason)

    # Finality

    def finalized_at(self, head: Head) -> int:
        """Return how far the chain is final. Final is final: an endpoint that lags here takes nothing back."""
        return max(self.finality.finalized, min(head.finalized, head.header.number))

    def finality_at(self, head: Head) -> Finality:
        finalized = self.finalized_at(head)
        return Finality(max(head.safe, finalized), finalized)

    # Writing

    def decode(self, logs: list[dict[str, Any]], headers: dict[int, Header]) -> DecodedLogs:
        by_address = {contract.address: contract for contract in self.contracts}
        contexts = read_contexts(reader=self.reader, contracts=by_address, logs=logs)
        return decode_logs(contracts=by_address, logs=logs, headers=headers, contexts=contexts)

    def write(
        self, headers: Sequence[Header], *, end: Header, low: int, decoded: DecodedLogs, finality: Finality
    ) -> None:
        """Write the blocks from `low` to `end` and stand there."""
        self.position, changes = write_forward(
            chain_id=self.chain_id,
            writer=self.writer,
            position=self.position,
            contracts=self.contracts,
            headers=headers,
            end=end,
            from_block=low,
            decoded=decoded,
            finality=finality,
        )
        self.finality = finality
        for header in [*headers, end]:
            self.window[header.number] = (header.hash, header.parent_hash)
        self._forget_blocks(number for number in self.window if number < min(finality.finalized, end.number))
        self.events_written += len(decoded.rows)
        metrics.indexed_head.labels(self.chain_id).set(end.number)
        metrics.finalized_head.labels(self.chain_id).set(finality.finalized)
        self.tell(changes)
        node_head = self.head.header.number if self.head else end.number
        self.listeners.progress(IndexProgress(end.number, node_head, self.events_written))

    def stand_on(self, ancestor: Header, position: Position, finality: Finality) -> None:
        """Go back to a block after what was above it has been taken back."""
        self.position, self.finality = position, finality
        self._forget_blocks(number for number in self.window if number > ancestor.number)
        self.window[ancestor.number] = (ancestor.hash, ancestor.parent_hash)

    def _forget_blocks(self, numbers: Iterable[int]) -> None:
        for number in list(numbers):
            del self.window[number]

    # Telling

    def tell(self, changes: Changes) -> None:
        """Publish what was committed; what cannot be published now is kept and goes out with the next."""
        self.unpublished += changes
        is_behind = self.head is not None and self.position.number < self.finalized_at(self.head)
        if is_behind and time.monotonic() - self.published_at < CATCHING_UP_PUBLISH_SECONDS:
            return
        self.published_at = time.monotonic()
        try:
            while self.retractions:
                self.listeners.retraction(self.retractions[0])
                self.retractions.pop(0)
            self.listeners.changes(self.unpublished)
            self.unpublished = Changes()
        except Exception:
            logger.exception("publishing failed; it is tried again after the next block")
