"""The indexer: one step after the other, each the kind of progress that the chain's head asks for."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from django.utils import timezone

from chain import metrics
from chain.exceptions import ReorgDetected
from chain.models import Checkpoint, Contract
from chain.reading import Head
from chain.services.contracts import Configured, register_contracts
from chain.services.indexing.backfilling import Fetcher, backfill
from chain.services.indexing.following import follow, settle
from chain.services.indexing.gaps import fill_gap
from chain.services.indexing.index import Index
from chain.services.indexing.reorgs import Regression, block_before, reorganise, wait_out_regression
from chain.services.leases import release_lease, take_lease

# The checkpoint says so often that a node answers: readiness reads it.
NOTE_SECONDS = 3.0


@dataclass
class Indexer(Index):
    """Indexes the contracts of one chain; `step` makes one stretch of progress.

    Not safe to share between threads; of several indexers, the one with the lease writes.
    """

    configured: Sequence[Configured] = ()

    regression: Regression = field(default_factory=Regression, init=False)
    noted_at: float = field(default=0.0, init=False)
    fetcher: Fetcher = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.fetcher = Fetcher(self.reader)

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
        base = block_before(self, min(contract.deployment_block for contract in contracts))
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
        """Read position and window back from the database, and forget what was read for another position."""
        super().load()
        self.regression = Regression()
        self.fetcher.forget()

    def close(self) -> None:
        """Give the lease back."""
        self.fetcher.close()
        metrics.is_leader.labels(self.chain_id).set(0)
        release_lease(chain_id=self.chain_id, writer=self.writer)

    # One step

    def step(self) -> bool:
        """Make one stretch of progress; return whether everything up to the node's head is indexed."""
        head = self.head = self.reader.head()
        self._note_head(head)
        try:
            is_caught_up = self._advance(head)
        except ReorgDetected:
            self._reorganise(head)
            return False
        self.contradictions = 0
        return is_caught_up

    def _advance(self, head: Head) -> bool:
        if head.header.number < self.position.number:
            if self.regression.is_believed():
                self._reorganise(head)
            else:
                wait_out_regression()
            return False
        self.regression = Regression()
        if head.header.number == self.position.number:
            if head.header.hash != self.top_hash:
                raise ReorgDetected(head.header.number)
            if fill_gap(index=self, head=head):
                return False
            settle(index=self, head=head)
            return True
        if self.position.number < self.finalized_at(head):
            backfill(index=self, fetcher=self.fetcher, head=head)
        elif not fill_gap(index=self, head=head):
            follow(index=self, head=head)
        return False

    def _reorganise(self, head: Head) -> None:
        self.fetcher.forget()
        reorganise(index=self, head=head)
        self.regression = Regression()

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
