"""Runs the indexer for long: backoff on what passes, standby while another writes, a stop for what does not pass."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from django.conf import settings
from django.db import DatabaseError, connections

from audit.context import auditing
from chain.exceptions import CallRefused, CheckpointMoved, IndexerHalted, NodeError, NodeUnavailable, WrongChain
from chain.models import Checkpoint
from chain.nodes import Nodes
from chain.reading import Reader
from chain.services.contracts import Configured, configured_contracts
from chain.services.indexing import Indexer, Listeners
from chain.services.leases import LeaseKeeper, new_writer_name, take_lease

logger = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS = 0.2
LONGEST_BACKOFF_SECONDS = 15.0
STANDBY_SECONDS = 1.0
HALTED_SECONDS = 2.0
# Deterministic refusals are believed when they come so often in a row.
REFUSALS_BELIEVED = 3


def build_nodes() -> Nodes:
    """Make the endpoints that the settings name."""
    return Nodes(
        settings.CHAIN_RPC_URLS,
        chain_id=settings.CHAIN_ID,
        quorum=settings.CHAIN_QUORUM,
        budgets=settings.CHAIN_RPC_BUDGETS,
    )


def build_reader(nodes: Nodes | None = None) -> Reader:
    """Make a reader of the chain that the settings name."""
    return Reader(
        nodes or build_nodes(),
        finality_depth=settings.CHAIN_FINALITY_DEPTH,
        checks_all_headers=settings.CHAIN_HEADER_CHECKS == "all",
    )


def build_indexer(
    *, listeners: Listeners | None = None, reader: Reader | None = None, configured: list[Configured] | None = None
) -> Indexer:
    """Make the indexer that the settings describe; raises ConfigurationRefused."""
    return Indexer(
        reader=reader or build_reader(),
        chain_id=settings.CHAIN_ID,
        configured=configured or configured_contracts(),
        writer=new_writer_name(),
        range_blocks=settings.CHAIN_RANGE_BLOCKS,
        listeners=listeners or Listeners(),
    )


@dataclass
class Runner:
    """Drives an indexer until it is told to stop, or with `once` until the node's head is reached.

    `wake` is set by whoever knows of a new head; without it the node is asked every `poll_seconds`.
    """

    indexer: Indexer
    once: bool = False
    poll_seconds: float = 1.0
    stopping: threading.Event = field(default_factory=threading.Event)
    wake: threading.Event = field(default_factory=threading.Event)
    on_state: Callable[[str], None] = lambda state: None

    is_open: bool = field(default=False, init=False)
    failures: int = field(default=0, init=False)
    refusals: int = field(default=0, init=False)

    def stop(self) -> None:
        self.stopping.set()
        self.wake.set()

    def run(self) -> None:
        """Index; raises ConfigurationRefused, WrongChain or CallRefused for what only an operator can mend.

        With `once`, IndexerHalted is raised too; otherwise a halted indexer waits for its review.
        """
        keeper = LeaseKeeper(chain_id=self.indexer.chain_id, writer=self.indexer.writer)
        try:
            with auditing(actor="system:indexer"):
                while not self.stopping.is_set():
                    if self._turn(keeper):
                        return
        finally:
            keeper.stop()
            self._close()

    def _close(self) -> None:
        try:
            self.indexer.close()
        except DatabaseError:
            logger.warning("the lease could not be given back; it lapses by itself")

    def _turn(self, keeper: LeaseKeeper) -> bool:
        """Open, step or wait; return whether `once` is satisfied."""
        try:
            if not self.is_open:
                self.is_open = self.indexer.open() if not self.indexer.contracts else self._reopen()
                if not self.is_open:
                    self.on_state("standby")
                    if self.once and self._is_done_by_another():
                        return True
                    self._wait(STANDBY_SECONDS)
                    return False
                keeper.start()
                self.on_state("writing")
            self.wake.clear()
            is_caught_up = self.indexer.step()
            self.failures = self.refusals = 0
            if is_caught_up:
                if self.once:
                    return True
                self.wake.wait(self.poll_seconds)
        except CheckpointMoved:
            logger.warning("another indexer writes; standing by")
            self.is_open = False
        except IndexerHalted as error:
            self.is_open = False
            if self.once:
                raise
            self.on_state(f"halted: {error.reason}")
            self._wait(HALTED_SECONDS)
        except WrongChain:
            self.indexer.reader.nodes.forget_verification()
            if not self.indexer.contracts or self.once:
                raise
            self._back_off("wrong chain")
        except CallRefused as error:
            self.refusals += 1
            if self.refusals >= REFUSALS_BELIEVED:
                raise
            self._back_off(str(error))
        except NodeError as error:
            if isinstance(error, NodeUnavailable):
                # What stands at the address now may be another node.
                self.indexer.reader.nodes.forget_verification()
            self._back_off(f"{type(error).__name__}: {error}")
        except DatabaseError as error:
            logger.warning("database failed", extra={"kind": type(error).__name__})
            connections.close_all()
            self.is_open = False
            self._back_off(type(error).__name__)
        return False

    def _reopen(self) -> bool:
        if not take_lease(chain_id=self.indexer.chain_id, writer=self.indexer.writer):
            return False
        self.indexer.load()
        return True

    def _is_done_by_another(self) -> bool:
        head = self.indexer.reader.head()
        checkpoint = Checkpoint.objects.get(pk=self.indexer.chain_id)
        return bytes(checkpoint.block_hash).hex() == head.header.hash[2:]

    def _back_off(self, reason: str) -> None:
        """Wait longer after each failure in a row, with jitter so that indexers do not come in step."""
        self.failures += 1
        seconds = min(FIRST_BACKOFF_SECONDS * 2 ** min(self.failures - 1, 10), LONGEST_BACKOFF_SECONDS)
        seconds *= random.uniform(0.7, 1.0)  # noqa: S311
        self.on_state(f"waiting {seconds:.1f} s: {reason}")
        logger.warning("indexer backs off", extra={"seconds": round(seconds, 2), "reason": reason[:300]})
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self.stopping.is_set() and (left := until - time.monotonic()) > 0:
            self.stopping.wait(min(left, 1.0))
