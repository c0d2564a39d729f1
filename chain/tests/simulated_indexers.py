"""Indexers of a simulated chain, which work turn by turn and never wait."""

from typing import Any

from chain.models import Checkpoint
from chain.services import Configured, Indexer, Runner
from chain.services.leases import new_writer_name
from chain.tests.simulation import CHAIN_ID, CONTRACTS, MANAGER, SimulatedNode, reader_of


class NoKeeper:
    def start(self) -> None:
        pass


def make_indexer(*nodes: SimulatedNode, contracts: Any = (MANAGER,), quorum: int = 1, **options: Any) -> Indexer:
    return Indexer(
        reader=reader_of(*nodes, quorum=quorum),
        chain_id=CHAIN_ID,
        configured=[Configured(CONTRACTS[address], address, options.get("deployment", 1)) for address in contracts],
        writer=new_writer_name(),
        range_blocks=4,
    )


def index_all(*nodes: SimulatedNode, **options: Any) -> None:
    run_to_the_head(Runner(make_indexer(*nodes, **options), once=True))


def run_to_the_head(runner: Runner) -> None:
    """Let the indexer work until it is done; it must be, after so many turns with an honest node."""
    Checkpoint.objects.update(lease_expires_at=None, writer="")
    for _ in range(200):
        if runner._turn(NoKeeper()):  # type: ignore[arg-type]
            runner._close()
            return
    raise AssertionError("the indexer never arrives")
