"""A machine that plays a chain, lying nodes and indexers in any order: the rows are those of a fresh index."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from chain.exceptions import NodeError, RangeNeverCovered, ReorgPending
from chain.models import Checkpoint, DeadLetter, EventLog
from chain.services import Runner, reindex
from chain.tests import simulation
from chain.tests.oracle import assert_equals_fresh_index, forget
from chain.tests.simulated_indexers import NoKeeper, index_all, make_indexer
from chain.tests.simulation import (
    CHAIN_ID,
    LIES,
    MANAGER,
    OLDER,
    TOTING,
    SimulatedChain,
    SimulatedNode,
    ballot,
    creation,
    event,
    reader_of,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_waiting")]
UINT256_MAX = 2**256 - 1
OPTIONS = st.sampled_from([0, 1, 2, 3, 255])
BLOCK_NUMBERS = st.sampled_from([0, 1, 5, 12, 40, 2**32, 2**64 - 1])
IDS = st.sampled_from([0, 1, 7, 10**30, UINT256_MAX])
TOTALS = st.sampled_from([0, 1, 5, UINT256_MAX])


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def killed_at(statement: int) -> Iterator[None]:
    """Die before the n-th statement; what is open is rolled back, as PostgreSQL does for a dead client."""
    left = statement

    def count(execute: Any, *arguments: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed
        return execute(*arguments)

    with connection.execute_wrapper(count):
        yield


class IndexerMachine(RuleBasedStateMachine):
    """Plays a chain, its nodes and its indexers in any order; in the end the rows are what a fresh index has."""

    @initialize()
    def begin(self) -> None:
        with connection.cursor() as cursor:
            forget(cursor)
            cursor.execute("TRUNCATE chain_contract CASCADE")
        self.chain = SimulatedChain(height=1)
        self.node = SimulatedNode(self.chain)
        self.contracts = [MANAGER]
        self.elections: list[tuple[str, int]] = []
        self.nullifiers = 0
        self.pending: list[list[dict[str, Any]]] = []
        self.gone: list[Any] = []
        self.start_runners()

    def start_runners(self) -> None:
        self.runners = [Runner(make_indexer(self.node, contracts=self.contracts), once=True) for _ in range(2)]

    # The chain

    def emit(self, *events: dict[str, Any]) -> None:
        self.pending.append(list(events))

    @rule(election_id=IDS, options=OPTIONS, start=BLOCK_NUMBERS, end=BLOCK_NUMBERS)
    def create(self, election_id: int, options: int, start: int, end: int) -> None:
        self.elections.append((MANAGER, election_id))
        self.emit(creation(election_id, options=options, start=start, end=end))

    @rule(address=st.sampled_from([TOTING, OLDER]), election_id=IDS, end=st.sampled_from([0, 9, 2**64, 2**128 - 1]))
    def create_toting(self, address: str, election_id: int, end: int) -> None:
        self.elections.append((address, election_id))
        self.chain.dates.setdefault((address, election_id), (3, end))
        self.emit(event(address, "ElectionCreated", election_id, b"\x22" * 32, simulation.ZERO))

    @precondition(lambda self: self.elections)
    @rule(data=st.data(), kind=st.sampled_from(["vote", "vote", "vote", "tally", "cancel", "census", "junk"]))
    def fact(self, data: st.DataObject, kind: str) -> None:
        address, election_id = data.draw(st.sampled_from(self.elections))
        if address != MANAGER:
            self.emit(event(address, "Tally", election_id, data.draw(TOTALS), data.draw(TOTALS)))
        elif kind == "vote":
            self.nullifiers += 1
            count = data.draw(st.integers(1, 3))
            self.emit(*[ballot(election_id, self.nullifiers * 10 + n, n) for n in range(count)])
        elif kind == "tally":
            self.emit(event(address, "TallyPublished", election_id, data.draw(st.lists(TOTALS, max_size=4))))
        elif kind == "cancel":
            self.emit(event(address, "ElectionCancelled", election_id))
        elif kind == "census":
            self.emit(event(address, "CensusRootSet", election_id, data.draw(IDS)))
        else:
            self.emit(creation(election_id) | {"data": "0x12"}, ballot(election_id, 1) | {"topics": []})

    @rule(empty=st.integers(0, 6), seconds=st.sampled_from([12, 0, -100]))
    def mine(self, empty: int, seconds: int) -> None:
        self.chain.mine(*self.pending, seconds=seconds)
        self.pending.clear()
        for _ in range(empty):
            self.chain.mine()

    @precondition(lambda self: self.chain.height > self.chain.finalized + 1)
    @rule(data=st.data(), again=st.sampled_from(["nothing", "the same transactions", "shorter"]))
    def reorg(self, data: st.DataObject, again: str) -> None:
        depth = data.draw(st.integers(1, self.chain.height - max(self.chain.finalized, 1)))
        self.gone = self.chain.reorg(depth)
        self.chain.safe = min(self.chain.safe, self.chain.height)
        if again == "shorter":
            return
        self.chain.mine()
        for block in self.gone:
            kept = block.transactions if again == "the same transactions" else []
            plain = [[{key: log[key] for key in ("address", "topics", "data")} for log in logs] for _, logs in kept]
            self.chain.mine(*plain, tx_hashes=[tx_hash for tx_hash, _ in kept])

    @precondition(lambda self: self.gone and self.chain.finalized < self.gone[0].number <= self.chain.height)
    @rule()
    def reorg_back(self) -> None:
        parent = self.chain.canonical[self.gone[0].number - 1]
        if self.gone[0].header["parentHash"] == parent.header["hash"]:
            kept = self.chain.canonical[self.gone[0].number :]
            self.chain.restore(self.gone)
            self.gone = kept

    @rule(data=st.data())
    def finalize(self, data: st.DataObject) -> None:
        self.chain.finalized = data.draw(st.integers(self.chain.finalized, self.chain.height))
        self.chain.safe = data.draw(st.integers(self.chain.finalized, self.chain.height))

    @rule(number=st.integers(0, len(LIES) - 1))
    def lie(self, number: int) -> None:
        method, name, answer = LIES[number]
        note(f"{method}: {name}")
        self.node.lies.append((method, answer))

    # The indexers

    def turn(self, which: int) -> None:
        runner = self.runners[which]
        if runner._turn(NoKeeper()):  # type: ignore[arg-type]
            note("caught up")

    @rule(which=st.integers(0, 1), turns=st.integers(1, 6))
    def index(self, which: int, turns: int) -> None:
        for _ in range(turns):
            self.turn(which)

    @rule()
    def lease_lapses(self) -> None:
        Checkpoint.objects.update(lease_expires_at=None, writer="")

    @rule(which=st.integers(0, 1), statement=st.integers(0, 60))
    def kill(self, which: int, statement: int) -> None:
        try:
            with killed_at(statement):
                for _ in range(4):
                    self.turn(which)
        except Killed:
            self.runners[which].indexer.fetcher.close()
            self.runners[which] = Runner(make_indexer(self.node, contracts=self.contracts), once=True)

    @precondition(lambda self: len(self.contracts) < 3)
    @rule()
    def add_contract(self) -> None:
        self.contracts = [*self.contracts, [TOTING, OLDER][len(self.contracts) - 1]]
        self.start_runners()

    @rule(data=st.data(), reorg_meanwhile=st.booleans())
    def repair(self, data: st.DataObject, reorg_meanwhile: bool) -> None:
        checkpoint = Checkpoint.objects.first()
        if checkpoint is None or checkpoint.block_number < 1:
            return
        low = data.draw(st.integers(1, checkpoint.block_number))
        reader = reader_of(self.node)
        if reorg_meanwhile and self.chain.height > self.chain.finalized + 1:
            real = reader.range_logs

            def then_reorg(*arguments: Any) -> Any:
                answer = real(*arguments)
                reader.range_logs = real  # type: ignore[method-assign]
                self.gone = self.chain.reorg(1)
                self.chain.safe = min(self.chain.safe, self.chain.height)
                self.chain.mine()
                for _ in range(4):
                    self.turn(0)
                return answer

            reader.range_logs = then_reorg  # type: ignore[method-assign]
        try:
            reindex(reader=reader, chain_id=CHAIN_ID, low=low, high=checkpoint.block_number, step=3)
        except (NodeError, RangeNeverCovered, ReorgPending):
            note("not repaired")

    def teardown(self) -> None:
        self.node.lies.clear()
        if self.pending:
            self.chain.mine(*self.pending)
        self.chain.mine()
        options = {"contracts": self.contracts}
        index_all(self.node, **options)
        total = sum(len(self.chain.logs(address)) for address in self.contracts)
        assert EventLog.objects.canonical().count() + DeadLetter.objects.filter(retracted_at=None).count() == total
        assert_equals_fresh_index(lambda: index_all(self.node, **options))


# A long run: INDEXER_EXAMPLES=3000 pytest chain/tests/test_any_order.py --timeout=0
EXAMPLES = int(os.environ.get("INDEXER_EXAMPLES", "8"))


@pytest.mark.slow
def test_whatever_happens_the_rows_are_those_of_a_fresh_index() -> None:
    run_state_machine_as_test(
        IndexerMachine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=30,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
