"""What a node can answer and no real one can be made to: every lie alone, then a machine that mixes all there is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from chain.exceptions import IndexerHalted, NodeError, RangeNeverCovered, ReorgPending, Reverted
from chain.models import Checkpoint, DeadLetter, EventLog
from chain.services import Configured, Indexer, Runner, reindex, resume_after_review
from chain.services.indexing import reorgs
from chain.services.leases import new_writer_name
from chain.tests import simulation
from chain.tests.oracle import assert_equals_fresh_index, forget
from chain.tests.simulation import (
    CHAIN_ID,
    CONTRACTS,
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
from elections.models import Election

pytestmark = pytest.mark.django_db(transaction=True)
UINT256_MAX = 2**256 - 1


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reorgs, "REGRESSION_SECONDS", 0)
    monkeypatch.setattr(reorgs, "REGRESSION_PAUSE_SECONDS", 0)
    monkeypatch.setattr(Runner, "_wait", lambda self, seconds: None)


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


METHODS = sorted({method for method, _, _ in LIES})


def tell(method: str, finalized: int, *, is_thorough: bool) -> None:
    """Tell each lie once, at each place where one can be told, in a chain with logs in every block."""
    chain = SimulatedChain(height=1)
    chain.mine([creation(0)], [ballot(0, 1, 1)])
    for number in range(2, 8):
        # A stranger's log: the bloom has bits of another's, and the receipts are asked.
        strange = [event(MANAGER, "ElectionCancelled", number) | {"address": simulation.STRANGER}] * (number % 2)
        chain.mine([ballot(0, number, 2), ballot(0, 100 + number, 0)], [ballot(0, 200 + number), *strange])
    chain.finalized = finalized
    honest = SimulatedNode(chain)
    index_all(honest)
    calls = max(honest.calls.count(method), 1)
    lies = [(name, lie) for its_method, name, lie in LIES if its_method == method]
    wrong = []
    for number, (name, lie) in enumerate(lies):
        # One place a lie in turn, or all.
        for place in range(calls) if is_thorough else [number % calls]:
            with connection.cursor() as cursor:
                forget(cursor)
            liar = SimulatedNode(chain, lies=[*[(method, lambda answer: answer)] * place, (method, lie)])
            try:
                index_all(liar)
            except Exception as error:
                wrong.append((name, place, repr(error)))
                continue
            votes = list(Election.objects.get().votes) if Election.objects.exists() else []
            if EventLog.objects.canonical().count() != len(chain.logs(MANAGER)) or votes != [12, 1, 6]:
                wrong.append((name, place, votes))
    assert wrong == []


@pytest.mark.slow
@pytest.mark.parametrize("finalized", [0, 6])
@pytest.mark.parametrize("method", METHODS)
def test_no_lie_leaves_a_wrong_row_or_stops_the_indexer(method: str, finalized: int) -> None:
    tell(method, finalized, is_thorough=False)


def test_an_answer_cut_off_within_a_full_block_is_found() -> None:
    """A bloom full of our own topics explains any log: the last block of an answer is held against its receipts."""
    chain = SimulatedChain(height=1)
    chain.mine([creation(0)], [ballot(0, number) for number in range(70)])
    chain.mine()
    chain.finalized = chain.height
    index_all(SimulatedNode(chain, lies=[("eth_getLogs", lambda answer: answer[:-3])]))
    assert Election.objects.get().turnout == 70


@pytest.mark.parametrize("finalized", [0, 4])
def test_in_a_quorum_one_liar_neither_hides_logs_nor_dates_nor_makes_final(finalized: int) -> None:
    """The liar is asked first each time, and all that it says is in itself consistent."""

    class Liar(SimulatedNode):
        def eth_getBlockByNumber(self, tag: str, full: bool) -> Any:
            header = super().eth_getBlockByNumber("latest" if tag == "finalized" else tag, full)
            return header and header | {"logsBloom": "0x0", "timestamp": "0x7"}

        def eth_getLogs(self, query: Any) -> Any:
            return []

    chain = SimulatedChain(height=1)
    chain.mine([creation(0)], [ballot(0, 1)])
    chain.mine([ballot(0, 2)])
    chain.mine()
    chain.finalized = finalized
    index_all(Liar(chain, name="liar"), SimulatedNode(chain), SimulatedNode(chain), quorum=2)
    assert Election.objects.get().turnout == 2
    assert Election.objects.get().facts["created"]["block_timestamp"] > 7
    assert Checkpoint.objects.get().finalized_block == finalized


def test_a_creation_whose_dates_the_contract_does_not_give_stops_nothing() -> None:
    class Mute(SimulatedNode):
        def eth_call(self, call: Any, block: Any) -> str:
            if call["data"].endswith("1"):
                raise Reverted("execution reverted", node=self.name)
            return super().eth_call(call, block)

    chain = SimulatedChain(height=1)
    chain.dates = {(TOTING, 1): (0, 0), (TOTING, 2): (3, 2**128 - 1)}
    for election_id in (1, 2):
        chain.mine([event(TOTING, "ElectionCreated", election_id, b"\x22" * 32, simulation.ZERO)])
    node = Mute(chain, lies=[("eth_call", lambda answer: "0x")])
    index_all(node, contracts=[TOTING])
    assert "does not answer elections()" in DeadLetter.objects.get().reason
    assert Election.objects.get().end_block == 2**128 - 1


def test_a_chain_begun_anew_below_the_deployment_is_followed_after_a_review() -> None:
    chain = SimulatedChain()
    chain.mine([creation(0)])
    index_all(SimulatedNode(chain), deployment=0)
    other = SimulatedChain()
    other.salt = 1000
    other.reorg(1)
    other.mine()
    other.mine([creation(3)])
    node = SimulatedNode(other)
    with pytest.raises(IndexerHalted):
        index_all(node, deployment=0)
    resume_after_review(chain_id=CHAIN_ID)
    index_all(node, deployment=0)
    assert Election.objects.visible().get().election_id == 3
    assert_equals_fresh_index(lambda: index_all(node, deployment=0))


def test_a_repair_never_mixes_two_chains() -> None:
    """The reorg comes between the node's answer and the repair's transaction."""
    chain = SimulatedChain(height=1)
    chain.mine([creation(0)])
    chain.mine([ballot(0, 1)])
    node = SimulatedNode(chain)
    index_all(node)
    reader = reader_of(node)
    real = reader.range_logs

    def then_reorg(*arguments: Any) -> Any:
        answer = real(*arguments)
        chain.reorg(1)
        chain.mine([ballot(0, 2)])
        chain.mine()
        index_all(node)
        return answer

    reader.range_logs = then_reorg  # type: ignore[method-assign]
    with pytest.raises(ReorgPending):
        reindex(reader=reader, chain_id=CHAIN_ID, low=1, high=3)
    # And where the indexer has not followed the reorg yet.
    chain.reorg(2)
    chain.mine()
    chain.mine()
    with pytest.raises(ReorgPending):
        reindex(reader=reader_of(node), chain_id=CHAIN_ID, low=1, high=3)
    index_all(node)
    assert_equals_fresh_index(lambda: index_all(node))


def test_the_largest_numbers_that_a_contract_can_state_are_indexed_and_served(client: Any) -> None:
    chain = SimulatedChain(height=1)
    chain.mine([creation(UINT256_MAX, start=0, end=2**64 - 1, options=255), ballot(UINT256_MAX, UINT256_MAX, 254)])
    chain.mine([creation(1, options=0), creation(2, start=5, end=5)])
    chain.mine([event(MANAGER, "TallyPublished", UINT256_MAX, [UINT256_MAX] * 255)] * 2)
    chain.mine([event(MANAGER, "ElectionCancelled", UINT256_MAX), ballot(UINT256_MAX, 3, 0)])
    index_all(SimulatedNode(chain))
    largest = Election.objects.get(election_id=UINT256_MAX)
    assert (largest.status, int(largest.turnout), sum(largest.votes)) == ("cancelled", UINT256_MAX, 2)
    for election in Election.objects.all():
        assert client.get(f"/elections/{election.public_id}").status_code == 200
        assert client.get(f"/e/{election.public_id}").status_code == 200
    assert client.get("/elections").status_code == client.get("/").status_code == 200


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


# A long run: INDEXER_EXAMPLES=3000 pytest chain/tests/test_lies.py -k fresh_index --timeout=0
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
