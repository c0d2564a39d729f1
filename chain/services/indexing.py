"""The indexer: ranges below the finalized block, block by block above it, one transaction for each stretch.

Choosing a range, reading it and writing it are three steps. While one range is written, the next is read.
"""

import contextlib
import gc
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone

from audit.services import record
from chain import metrics
from chain.exceptions import (
    BlockNotFound,
    IndexerHalted,
    NodeUntrustworthy,
    NoQuorum,
    RangeCapped,
    ReorgDetected,
    TooMuchData,
)
from chain.models import Block, Checkpoint, Contract
from chain.reading import Head, Header, RangeAnswer, Reader
from chain.selectors import is_transaction_stored, list_window
from chain.services.contracts import Configured, register_contracts
from chain.services.coverage import missing
from chain.services.decoding import DecodedLogs, decode_logs, read_contexts
from chain.services.leases import release_lease, take_lease
from chain.services.writing import Finality, Position, write_back, write_behind, write_forward
from elections.services import Changes

logger = logging.getLogger(__name__)

# A range should bring about so many logs: enough to spread the cost of a transaction, few enough to hold in memory.
TARGET_LOGS = 20_000
MAX_RANGE_BLOCKS = 100_000
# Headers are read one by one below finality when all are checked: ranges then stay small enough to report progress.
MAX_CHECKED_RANGE_BLOCKS = 5_000
# Blocks above finality that are written in one transaction when catching up.
FOLLOW_BLOCKS = 100
# A lower head is believed when it was seen so often and for so long: one stale answer is not a rollback.
REGRESSIONS_BELIEVED = 3
REGRESSION_SECONDS = 1.5
# The checkpoint says so often that a node answers: readiness reads it.
NOTE_SECONDS = 3.0


@dataclass
class Regression:
    """A head below our position, as seen again and again."""

    count: int = 0
    since: float = 0.0


@dataclass(frozen=True)
class Retraction:
    """Blocks that a reorg took back, for the sockets."""

    chain_id: int
    ancestor: int
    ancestor_hash: str
    taken_back: int
    logs: int


@dataclass
class Listeners:
    """Whom the indexer tells what it did, after commit; none of them may stop it."""

    changes: Callable[[Changes], None] = lambda changes: None
    retraction: Callable[[Retraction], None] = lambda retraction: None
    progress: Callable[["Indexer"], None] = lambda indexer: None


@dataclass
class RangeSize:
    """The number of blocks to ask for next, learnt from the answers."""

    blocks: int
    cap: int = MAX_RANGE_BLOCKS

    def shrink(self, error: TooMuchData, asked: int) -> None:
        """Halve after too much data; remember a cap that the endpoint has for good."""
        if isinstance(error, RangeCapped):
            self.cap = max(1, min(self.cap, error.cap or asked // 2))
        self.blocks = max(1, min(asked // 2, self.cap))

    def learn(self, asked: int, logs: int) -> None:
        """Aim at TARGET_LOGS, at most doubling: the next blocks may be fuller."""
        wanted = asked * 2 if logs == 0 else min(asked * 2, max(1, asked * TARGET_LOGS // logs))
        self.blocks = max(1, min(wanted, self.cap))


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the cycle collector from walking the many objects of a range again and again: none is part of a cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@dataclass
class Indexer:
    """Indexes the contracts of one chain; `step` makes one stretch of progress.

    Not safe to share between threads; of several indexers, the one with the lease writes.
    """

    reader: Reader
    chain_id: int
    configured: Sequence[Configured]
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

    def __post_init__(self) -> None:
        cap = MAX_CHECKED_RANGE_BLOCKS if self.reader.checks_all_headers else MAX_RANGE_BLOCKS
        self.range_size = RangeSize(min(self.range_blocks, cap), cap)
        self.regression = Regression()
        self.has_gaps = True
        self.noted_at = 0.0
        self.unpublished = Changes()
        self.retractions: list[Retraction] = []
        self._fetcher = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._prefetched: tuple[tuple[int, int], Future[RangeAnswer]] | None = None

    # Start and end

    def open(self) -> bool:
        """Check the configuration against the chain and take the lease; return False to stand by.

        Raises ConfigurationRefused for what cannot be indexed, and IndexerHalted while a review is awaited.
        """
        head = self.reader.head()
        contracts = register_contracts(
            reader=self.reader, chain_id=self.chain_id, configured=self.configured, head=head.header.number
        )
        self._ensure_checkpoint(contracts)
        # Set last: contracts are what tells that the checks are done, and a node may fail between them.
        self.contracts = contracts
        if not take_lease(chain_id=self.chain_id, writer=self.writer):
            return False
        self.load()
        return True

    def _ensure_checkpoint(self, contracts: Sequence[Contract]) -> None:
        if Checkpoint.objects.filter(pk=self.chain_id).exists():
            return
        start = min(contract.deployment_block for contract in contracts) - 1
        base = self.reader.header(start) if start >= 0 else Header(-1, "0x" + "00" * 32, "0x" + "00" * 32, 0, 0)
        Checkpoint.objects.get_or_create(
            pk=self.chain_id,
            defaults={
                "block_number": base.number,
                "block_hash": bytes.fromhex(base.hash[2:]),
                "block_timestamp": base.timestamp,
                # Nothing is known to be final yet; what is before the deployment concerns nobody.
                "finalized_block": base.number,
                "safe_block": max(base.number, 0),
            },
        )

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
        blocks = list_window(chain_id=self.chain_id, from_block=low)
        self.window = {
            block.number: ("0x" + bytes(block.hash).hex(), "0x" + bytes(block.parent_hash).hex()) for block in blocks
        }
        self.window[self.position.number] = (
            "0x" + self.position.hash.hex(),
            self.window.get(self.position.number, ("", ""))[1],
        )
        for number in sorted(self.window):
            parent = self.window.get(number - 1)
            if number > self.finality.finalized and parent and self.window[number][1] not in ("", parent[0]):
                self.halt("stored_window_broken", f"stored block {number} is not the child of stored {number - 1}")
        self.has_gaps = True
        self.regression = Regression()
        self._forget_prefetched()
        metrics.is_leader.labels(self.chain_id).set(1)

    def close(self) -> None:
        """Give the lease back."""
        self._forget_prefetched()
        self._fetcher.shutdown(wait=False, cancel_futures=True)
        metrics.is_leader.labels(self.chain_id).set(0)
        release_lease(chain_id=self.chain_id, writer=self.writer)

    # One step

    def step(self) -> bool:
        """Make one stretch of progress; return whether everything up to the node's head is indexed."""
        head = self.head = self.reader.head()
        self._note_head(head)
        try:
            if head.header.number < self.position.number:
                return self._regressed(head)
            self.regression = Regression()
            if head.header.number == self.position.number:
                if head.header.hash != self.window[self.position.number][0]:
                    raise ReorgDetected(head.header.number)
                if self._fill_gap(head):
                    return False
                self._settle(head)
                return True
            final = self._finalized(head)
            if self.position.number < final:
                self._backfill(head, final)
            elif not self._fill_gap(head):
                self._follow(head)
        except ReorgDetected:
            self._reorganise(head)
        return False

    def _note_head(self, head: Head) -> None:
        metrics.head.labels(self.chain_id).set(head.header.number)
        metrics.lag_blocks.labels(self.chain_id).set(max(0, head.header.number - self.position.number))
        if time.monotonic() - self.noted_at < NOTE_SECONDS:
            return
        self.noted_at = time.monotonic()
        mine = Checkpoint.objects.filter(pk=self.chain_id, writer=self.writer)
        mine.update(node_head=head.header.number, seen_at=timezone.now())
        differences = mine.values_list("reconcile_differences", flat=True).first()
        if differences is not None:
            metrics.reconcile_difference.labels(self.chain_id).set(differences)

    def _finalized(self, head: Head) -> int:
        # Final is final: an endpoint that lags in this respect takes nothing back.
        return max(self.finality.finalized, min(head.finalized, head.header.number))

    def _finality(self, head: Head) -> Finality:
        finalized = self._finalized(head)
        return Finality(max(head.safe, finalized), finalized)

    # Below finality: ranges

    def _backfill(self, head: Head, final: int) -> None:
        low = self.position.number + 1
        high = min(final, low + self.range_size.blocks - 1)
        addresses = [contract.address for contract in self.contracts]
        try:
            answer = self._fetch(addresses, low, high)
        except TooMuchData as error:
            if low == high and not isinstance(error, RangeCapped):
                raise
            self.range_size.shrink(error, high - low + 1)
            logger.info("range halved", extra={"blocks": self.range_size.blocks, "reason": str(error)})
            return
        high = answer.to_block
        self.range_size.learn(high - low + 1, len(answer.logs))
        self._check_base(answer, low)
        following = high + 1, min(final, high + self.range_size.blocks)
        if following[0] <= following[1]:
            self._prefetch(addresses, *following)
        with collector_paused():
            decoded = self._decode(answer.logs, answer.headers)
            self._write_forward(list(answer.headers.values()), answer.end, low, decoded, self._finality(head))

    def _check_base(self, answer: RangeAnswer, low: int) -> None:
        """Hold the range's first block against the block that we stand on."""
        known = self.window[self.position.number][0]
        if self.position.number < 0:
            return
        first = answer.headers.get(low) or (answer.end if answer.to_block == low else self.reader.header(low))
        if first.parent_hash != known:
            raise ReorgDetected(low)

    def _fetch(self, addresses: list[str], low: int, high: int) -> RangeAnswer:
        prefetched, self._prefetched = self._prefetched, None
        if prefetched is not None:
            wanted, future = prefetched
            if wanted[0] == low and wanted[1] <= max(high, low):
                return future.result()
            future.cancel()
        return self.reader.range_logs(addresses, low, high)

    def _prefetch(self, addresses: list[str], low: int, high: int) -> None:
        self._prefetched = (low, high), self._fetcher.submit(self.reader.range_logs, addresses, low, high)

    def _forget_prefetched(self) -> None:
        if self._prefetched is not None:
            self._prefetched[1].cancel()
            self._prefetched = None

    # Above finality: blocks by hash

    def _follow(self, head: Head) -> None:
        low = self.position.number + 1
        high = min(head.header.number, low + FOLLOW_BLOCKS - 1)
        # A single new block is the head that we have just read.
        headers = [head.header] if low == head.header.number else self.reader.headers(range(low, high + 1))
        if headers[0].parent_hash != self.window[self.position.number][0] and self.position.number >= 0:
            raise ReorgDetected(low)
        if self.reader.nodes.quorum > 1 and self.reader.header(headers[-1].number).hash != headers[-1].hash:
            raise NoQuorum(f"block {headers[-1].number}: endpoints see different hashes")
        addresses = [contract.address for contract in self.contracts]
        logs = [log for header in headers for log in self.reader.block_logs(addresses, header)]
        self._refuse_moved_transactions(logs)
        decoded = self._decode(logs, {header.number: header for header in headers})
        self._write_forward(headers, headers[-1], low, decoded, self._finality(head))

    def _refuse_moved_transactions(self, logs: list[dict[str, object]]) -> None:
        """Raise when a transaction stands in two blocks of one chain, these new ones or the window's."""
        blocks_of: dict[object, object] = {}
        for log in logs:
            if blocks_of.setdefault(log["transactionHash"], log["blockHash"]) != log["blockHash"]:
                raise NodeUntrustworthy("one transaction in two blocks", check="transaction_in_two_blocks")
        if blocks_of and is_transaction_stored(
            contracts=self.contracts,
            tx_hashes=[bytes.fromhex(str(tx_hash)[2:]) for tx_hash in blocks_of],
            from_block=max(0, min(self.window)),
            to_block=self.position.number,
        ):
            raise NodeUntrustworthy("a transaction of an earlier block again", check="transaction_in_two_blocks")

    def _settle(self, head: Head) -> None:
        """Move finality along when the head has not moved but what is final has."""
        finality = self._finality(head)
        if finality != self.finality and self.position.number >= 0:
            self._write_forward([], head.header, self.position.number + 1, DecodedLogs(), finality)

    # Gaps behind the checkpoint

    def _fill_gap(self, head: Head) -> bool:
        """Index one range that some contract misses behind the checkpoint; return whether there was one."""
        if not self.has_gaps:
            return False
        for contract in self.contracts:
            for low, high in missing(contract, up_to=self.position.number):
                self._fill(contract, low, high, head)
                return True
        self.has_gaps = False
        return False

    def _fill(self, contract: Contract, low: int, high: int, head: Head) -> None:
        final = self._finalized(head)
        if low <= final:
            high = min(high, final, low + self.range_size.blocks - 1)
            try:
                answer = self.reader.range_logs([contract.address], low, high)
            except TooMuchData as error:
                if low == high and not isinstance(error, RangeCapped):
                    raise
                self.range_size.shrink(error, high - low + 1)
                return
            logs, headers = answer.logs, answer.headers
            self._hold_against_window(list(headers.values()))
        else:
            high = min(high, low + FOLLOW_BLOCKS - 1)
            read = self.reader.headers(range(low, high + 1))
            self._hold_against_window(read)
            logs = [log for header in read for log in self.reader.block_logs([contract.address], header)]
            headers = {header.number: header for header in read}
        decoded = self._decode(logs, headers)
        with_logs = {int(log["blockNumber"]) for log in logs}
        self.position, changes = write_behind(
            chain_id=self.chain_id,
            writer=self.writer,
            position=self.position,
            finality=self.finality,
            contract=contract,
            headers=[header for number, header in headers.items() if number in with_logs],
            low=low,
            high=high,
            decoded=decoded,
        )
        self.events_written += len(decoded.rows)
        self._tell(changes)

    def _hold_against_window(self, headers: list[Header]) -> None:
        for header in headers:
            known = self.window.get(header.number)
            if known and known[0] != header.hash:
                raise ReorgDetected(header.number)

    # Reorgs

    def _regressed(self, head: Head) -> bool:
        """Judge a head below our position: a stale answer is waited out, a rollback is followed."""
        now = time.monotonic()
        if self.regression.count == 0:
            self.regression.since = now
        self.regression.count += 1
        if self.regression.count < REGRESSIONS_BELIEVED or now - self.regression.since < REGRESSION_SECONDS:
            metrics.distrust.labels("any", "head_regression").inc()
            time.sleep(0.2)
            return False
        self._reorganise(head)
        return False

    def _reorganise(self, head: Head) -> None:
        """Walk by hash from the node's chain down to a block that is ours too, and take back what is above."""
        self._forget_prefetched()
        top = min(self.position.number, head.header.number)
        if top <= self.finality.finalized:
            self._refuse_below_finality(top)
        current = head.header if head.header.number == top else self.reader.header(top)
        while self.window.get(current.number, ("",))[0] != current.hash:
            if current.number <= self.finality.finalized:
                self._refuse_below_finality(current.number)
            if current.number not in self.window:
                # Only after a review: below what was final, not every block is stored.
                current = self._ancestor_of_old(current.number)
                break
            current = self._parent_of(current)
        ancestor = Block(
            chain_id=self.chain_id,
            number=current.number,
            hash=bytes.fromhex(current.hash[2:]),
            parent_hash=bytes.fromhex(current.parent_hash[2:]),
            timestamp=current.timestamp,
        )
        before = self.position.number
        if ancestor.number >= before:
            # The node has come back to our chain in the meantime.
            return
        finality = Finality(min(self.finality.safe, ancestor.number), self.finality.finalized)
        self.position, changes, logs = write_back(
            chain_id=self.chain_id,
            writer=self.writer,
            position=self.position,
            contracts=self.contracts,
            ancestor=ancestor,
            finality=finality,
        )
        self.finality = finality
        for number in [number for number in self.window if number > ancestor.number]:
            del self.window[number]
        self.window[ancestor.number] = (current.hash, current.parent_hash)
        self.regression = Regression()
        logger.warning(
            "reorg followed", extra={"ancestor": ancestor.number, "taken_back": before - ancestor.number, "logs": logs}
        )
        self.retractions.append(
            Retraction(self.chain_id, ancestor.number, current.hash, before - ancestor.number, logs)
        )
        self._tell(changes)

    def _parent_of(self, header: Header) -> Header:
        """Read a block's parent: by hash, or by height where the node has lost the hash of a block that it serves."""
        try:
            return self.reader.header_by_hash(header.parent_hash)
        except BlockNotFound:
            parent = self.reader.header(header.number - 1)
            if parent.hash != header.parent_hash:
                # The chain moved while we walked: begin again at the new head.
                raise
            return parent

    def _ancestor_of_old(self, below: int) -> Header:
        """Find the newest stored block below a height, however old, that the node still has."""
        stored = Block.objects.canonical().filter(chain_id=self.chain_id, number__lt=below)
        for block in stored.order_by("-number").iterator():
            try:
                header = self.reader.header(block.number)
            except BlockNotFound:
                continue
            if header.hash == "0x" + bytes(block.hash).hex():
                return header
        base = min(contract.deployment_block for contract in self.contracts) - 1
        return self.reader.header(base) if base >= 0 else Header(-1, "0x" + "00" * 32, "0x" + "00" * 32, 0, 0)

    def _refuse_below_finality(self, number: int) -> None:
        self.halt(
            "reorg_below_finality",
            f"the node's chain differs from the indexed one at or below block {number}, but {self.finality.finalized} "
            "is final: nothing was changed. Find out which chain is right, then run "
            "`manage.py index_chain --resume-after-review`",
        )

    def halt(self, code: str, reason: str) -> None:
        """Stop writing until an operator has looked; raises IndexerHalted."""
        with transaction.atomic():
            Checkpoint.objects.filter(pk=self.chain_id, halted_at=None).update(
                halted_at=timezone.now(), halt_code=code, halt_reason=reason
            )
            record(
                action="chain.indexer.halted",
                actor="system:indexer",
                target=f"chain:{self.chain_id}",
                data={"code": code, "reason": reason},
            )
        metrics.halted.labels(self.chain_id).set(1)
        logger.critical("indexer halted", extra={"code": code, "reason": reason})
        raise IndexerHalted(reason, code=code)

    # Common to all

    def _decode(self, logs: list[dict[str, object]], headers: dict[int, Header]) -> DecodedLogs:
        by_address = {contract.address: contract for contract in self.contracts}
        contexts = read_contexts(reader=self.reader, contracts=by_address, logs=logs)
        return decode_logs(contracts=by_address, logs=logs, headers=headers, contexts=contexts)

    def _write_forward(
        self, headers: list[Header], end: Header, low: int, decoded: DecodedLogs, finality: Finality
    ) -> None:
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
        for number in [number for number in self.window if number < min(finality.finalized, end.number)]:
            del self.window[number]
        self.events_written += len(decoded.rows)
        metrics.indexed_head.labels(self.chain_id).set(end.number)
        metrics.finalized_head.labels(self.chain_id).set(finality.finalized)
        self._tell(changes)
        self.listeners.progress(self)

    def _tell(self, changes: Changes) -> None:
        """Publish what was committed; what cannot be published now is kept and goes out with the next."""
        self.unpublished += changes
        try:
            while self.retractions:
                self.listeners.retraction(self.retractions[0])
                self.retractions.pop(0)
            self.listeners.changes(self.unpublished)
            self.unpublished = Changes()
        except Exception:
            logger.exception("publishing failed; it is tried again after the next block")


def resume_after_review(*, chain_id: int, actor: str = "system:operator") -> bool:
    """Let a halted indexer go on, with the node's chain as the right one; return whether it was halted.

    What was final before counts as open again, so that the reorg that was reviewed can be followed.
    """
    with transaction.atomic():
        checkpoint = Checkpoint.objects.select_for_update().filter(pk=chain_id).exclude(halted_at=None).first()
        if checkpoint is None:
            return False
        record(
            action="chain.indexer.resumed",
            actor=actor,
            target=f"chain:{chain_id}",
            data={"code": checkpoint.halt_code, "finalized_block": checkpoint.finalized_block},
        )
        checkpoint.halted_at, checkpoint.halt_code, checkpoint.halt_reason = None, "", ""
        checkpoint.finalized_block = -1
        checkpoint.save(update_fields=["halted_at", "halt_code", "halt_reason", "finalized_block"])
    return True
