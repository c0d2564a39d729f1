"""Transactions: one nonce for each key, whatever happens in between."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from audit.models import Entry
from chain import tasks
from chain.exceptions import NodeUnavailable, TransactionNotMined, TransactionReverted, UnknownContract
from chain.models import Transaction
from chain.nodes import Nodes
from chain.services import send_to_manager, watch_transactions
from chain.tests.factories import METADATA_HASH, OWNER, Ground

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _settings(settings: Any, ground: Ground) -> None:
    settings.CHAIN_RPC_URLS = [ground.url]
    settings.CHAIN_CONTRACTS = [f"psephos@{ground.manager}@1"]


def creation(ground: Ground, start_in: int = 1000) -> list[Any]:
    return [METADATA_HASH, ground.height + start_in, ground.height + start_in + 1000, 3, 0, "0x" + "0" * 40]


def create(ground: Ground, key: str, nodes: Nodes | None = None) -> dict[str, Any]:
    nodes = nodes or Nodes([ground.url], chain_id=31337)
    return send_to_manager(nodes=nodes, key=key, function="createElection", arguments=creation(ground))


def elections_on_chain(ground: Ground) -> int:
    from chain.abi import artifact, encode_call

    data = encode_call(artifact("ElectionManager")["abi"], "electionCount", [])
    return int(ground.call("eth_call", {"to": ground.manager, "data": data}, "latest"), 16)


def fake_run() -> Any:
    return SimpleNamespace(job_id="7", progress=lambda **_: None)


def test_a_key_sends_once(ground: Ground) -> None:
    first = create(ground, "job:1")
    assert create(ground, "job:1")["tx_hash"] == first["tx_hash"]
    assert elections_on_chain(ground) == 1
    assert Entry.objects.filter(action="chain.transaction.mined").count() == 1


def test_many_senders_at_once_use_every_nonce_once(ground: Ground) -> None:
    before = int(ground.call("eth_getTransactionCount", OWNER.address, "latest"), 16)

    def one(number: int) -> str:
        try:
            return create(ground, f"job:{number % 8}")["tx_hash"]
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        hashes = set(pool.map(one, range(16)))
    assert len(hashes) == elections_on_chain(ground) == 8
    nonces = sorted(Transaction.objects.values_list("nonce", flat=True))
    assert nonces == list(range(before, before + 8))


def test_a_refusal_names_the_contracts_error_and_spends_nothing(ground: Ground) -> None:
    with pytest.raises(TransactionReverted) as raised:
        send_to_manager(
            nodes=Nodes([ground.url]), key="job:1", function="cancel", arguments=[99], contract=ground.manager
        )
    assert raised.value.extra == {"contract_error": "UnknownElection"}
    assert not Transaction.objects.exists()


def test_an_unknown_contract_is_refused(ground: Ground) -> None:
    with pytest.raises(UnknownContract):
        send_to_manager(nodes=Nodes([ground.url]), key="k", function="cancel", arguments=[0], contract="0x" + "ab" * 20)
    assert not Transaction.objects.exists()


def test_a_worker_that_dies_after_sending_is_taken_up(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Nodes.call

    def dying(self: Nodes, method: str, *params: Any, **options: Any) -> Any:
        result = real(self, method, *params, **options)
        if method == "eth_sendRawTransaction":
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(Nodes, "call", dying)
    with pytest.raises(KeyboardInterrupt):
        create(ground, "job:1")
    monkeypatch.setattr(Nodes, "call", real)
    create(ground, "job:1")
    assert elections_on_chain(ground) == 1


def test_the_watcher_offers_what_nobody_offered(ground: Ground, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.CHAIN_STUCK_SECONDS, settings.CHAIN_SEND_TIMEOUT_SECONDS = 0, 0.3
    real = Nodes.call

    def deaf(self: Nodes, method: str, *params: Any, **options: Any) -> Any:
        if method == "eth_sendRawTransaction":
            raise NodeUnavailable("deaf")
        return real(self, method, *params, **options)

    monkeypatch.setattr(Nodes, "call", deaf)
    with pytest.raises(TransactionNotMined):
        create(ground, "job:1")
    monkeypatch.setattr(Nodes, "call", real)
    nodes = Nodes([ground.url], chain_id=31337)
    for _ in range(50):
        if watch_transactions(nodes=nodes) == 0:
            break
    assert elections_on_chain(ground) == 1
    assert Transaction.objects.get().state == "mined"


def test_a_stuck_transaction_pays_more(ground: Ground, settings: Any) -> None:
    settings.CHAIN_STUCK_SECONDS = 0.3
    ground.call("evm_setAutomine", False)
    done = threading.Event()

    def miner() -> None:
        # Mines only once a replacement with higher fees was offered.
        while not done.wait(0.1):
            try:
                row = Transaction.objects.filter(key="job:1").first()
                if row and len(row.hashes) >= 3:
                    ground.mine()
            finally:
                connection.close()

    thread = threading.Thread(target=miner)
    thread.start()
    try:
        create(ground, "job:1")
    finally:
        done.set()
        thread.join()
        ground.call("evm_setAutomine", True)
    row = Transaction.objects.get()
    assert row.state == "mined"
    assert len(row.hashes) >= 3
    assert elections_on_chain(ground) == 1


def test_a_nonce_taken_by_somebody_else_is_replaced(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    from chain.services import sending

    real = sending.offer
    stolen = []

    def late(**options: Any) -> str:
        if not stolen:
            stolen.append(ground.transact("createElection", *creation(ground, 2000)))
        return real(**options)

    monkeypatch.setattr(sending, "offer", late)
    create(ground, "job:1")
    assert elections_on_chain(ground) == 2
    assert Transaction.objects.get().state == "mined"


def test_a_transaction_that_a_reorg_took_away_is_sent_again(ground: Ground, settings: Any) -> None:
    settings.CHAIN_STUCK_SECONDS = 0
    create(ground, "job:1")
    ground.call("anvil_reorg", 1, [])
    assert elections_on_chain(ground) == 0
    nodes = Nodes([ground.url], chain_id=31337)
    for _ in range(50):
        if watch_transactions(nodes=nodes) == 0:
            break
    assert elections_on_chain(ground) == 1


def test_the_jobs_send_what_they_say(ground: Ground) -> None:
    height = ground.height
    data = {
        "metadata_hash": "0x" + "11" * 32,
        "start_block": height + 50,
        "end_block": height + 90,
        "options": 2,
        "census_root": None,
        "verifier": None,
    }
    result = tasks.create_election(fake_run(), data)
    assert result["election_id"] == "0"
    run = fake_run()
    run.job_id = "8"
    tasks.cancel_election(run, {"chain_id": 31337, "contract": ground.manager, "election_id": 0})
    run.job_id = "9"
    with pytest.raises(TransactionReverted, match="ElectionIsCancelled"):
        tasks.finalise_election(run, {"chain_id": 31337, "contract": ground.manager, "election_id": 0})
