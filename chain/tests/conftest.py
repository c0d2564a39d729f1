"""Fixtures of the chain's tests."""

from collections.abc import Callable

import pytest

from chain.nodes import Nodes
from chain.reading import Reader
from chain.services import Configured, Indexer, Listeners, Runner
from chain.services.indexing import reorgs
from chain.services.leases import new_writer_name
from chain.tests.factories import Ground


@pytest.fixture
def ground(anvil: str) -> Ground:
    """An EVM node with an ElectionManager."""
    ground = Ground(anvil)
    ground.deploy_manager()
    return ground


@pytest.fixture
def make_indexer(ground: Ground) -> Callable[..., Indexer]:
    """Make indexers of the ground's ElectionManager."""

    def make(
        *urls: str, contracts: list[Configured] | None = None, listeners: Listeners | None = None, **options: object
    ) -> Indexer:
        reader = Reader(Nodes(urls or [ground.url], chain_id=31337, quorum=options.pop("quorum", 1)))  # type: ignore[arg-type]
        return Indexer(
            reader=reader,
            chain_id=31337,
            configured=contracts or [Configured("psephos", ground.manager, 1)],
            writer=new_writer_name(),
            listeners=listeners or Listeners(),
            **options,  # type: ignore[arg-type]
        )

    return make


@pytest.fixture
def index_once(make_indexer: Callable[..., Indexer], transactional_db: None) -> Callable[..., Indexer]:
    """Index up to the node's head and give the lease back."""

    def index(*urls: str, **options: object) -> Indexer:
        indexer = make_indexer(*urls, **options)
        Runner(indexer, once=True).run()
        return indexer

    return index


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let indexers take the next turn at once."""
    monkeypatch.setattr(reorgs, "REGRESSION_SECONDS", 0)
    monkeypatch.setattr(reorgs, "REGRESSION_PAUSE_SECONDS", 0)
    monkeypatch.setattr(Runner, "_wait", lambda self, seconds: None)
