"""What a node can answer and no real one can be made to: every lie alone."""

from typing import Any

import pytest
from django.db import connection

from chain.exceptions import IndexerHalted, ReorgPending, Reverted
from chain.models import Checkpoint, DeadLetter, EventLog
from chain.services import reindex, resume_after_review
from chain.tests import simulation
from chain.tests.oracle import assert_equals_fresh_index, forget
from chain.tests.simulated_indexers import index_all
from chain.tests.simulation import (
    CHAIN_ID,
    LIES,
    MANAGER,
    TOTING,
    SimulatedChain,
    SimulatedNode,
    ballot,
    creation,
    event,
    reader_of,
)
from elections.models import Election

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("no_waiting")]
UINT256_MAX = 2**256 - 1
METHODS = sorted({method for method, _, _ in LIES})


@pytest.mark.slow
@pytest.mark.parametrize("finalized", [0, 6])
@pytest.mark.parametrize("method", METHODS)
def test_no_lie_leaves_a_wrong_row_or_stops_the_indexer(method: str, finalized: int) -> None:
    """Each lie is told once, in a chain with logs in every block."""
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
        # Each lie at one place, in turn.
        place = number % calls
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
