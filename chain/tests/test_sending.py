"""Transactions: one nonce for each key, whatever happens in between."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from audit.models import Entry
from chain import tasks
from chain.abi import artifact, encode_call
from chain.exceptions import (
    CallRefused,
    NodeUnavailable,
    SenderOutOfFunds,
    TransactionNotMined,
    TransactionReverted,
    UnknownContract,
    WrongChain,
)
from chain.models import Transaction
from chain.nodes import Node, Nodes
from chain.services import send_to_manager, watch_transactions
from chain.services.sending import calls, nonces
from chain.services.sending.offering import escalate, handle_refused_offer
from chain.services.sending.preparing import prepare, sender_account
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
    data = encode_call(artifact("ElectionManager")["abi"], "electionCount", [])
    return int(ground.call("eth_call", {"to": ground.manager, "data": data}, "latest"), 16)


def fake_run() -> Any:
    return SimpleNamespace(job_id="7", progress=lambda **_: None)


def test_a_key_sends_once(ground: Ground) -> None:
    first = create(ground, "job:1")
    assert create(ground, "job:1")["tx_hash"] == first["tx_hash"]
    assert elections_on_chain(ground) == 1
    assert Entry.objects.filter(action="chain.transaction.mined").count() == 1


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_nonce_taken_by_somebody_else_is_replaced(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    real = calls.offer
    stolen = []

    def late(**options: Any) -> str:
        if not stolen:
            stolen.append(ground.transact("createElection", *creation(ground, 2000)))
        return real(**options)

    monkeypatch.setattr(calls, "offer", late)
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


@pytest.fixture
def held(ground: Ground) -> Iterator[Ground]:
    """A node that takes transactions and mines none."""
    ground.call("evm_setAutomine", False)
    yield ground
    ground.call("evm_setAutomine", True)


def left_behind(ground: Ground, settings: Any, key: str = "job:1") -> Transaction:
    """Offer a transaction that no block takes, and give up waiting for it."""
    settings.CHAIN_STUCK_SECONDS, settings.CHAIN_SEND_TIMEOUT_SECONDS = 60, 0.1
    with pytest.raises(TransactionNotMined):
        create(ground, key)
    return Transaction.objects.get(key=key)


def test_two_workers_about_one_transaction_keep_each_others_hashes(held: Ground, settings: Any) -> None:
    row = left_behind(held, settings)
    settings.CHAIN_MAX_FEE_GWEI *= 2
    nodes, account = Nodes([held.url]), sender_account()
    first, second = (Transaction.objects.get(pk=row.pk) for _ in range(2))
    escalate(nodes=nodes, account=account, row=first)
    escalate(nodes=nodes, account=account, row=second)
    kept = Transaction.objects.get(pk=row.pk).hashes
    assert kept == first.hashes == second.hashes
    assert len(kept) == 2


def test_a_nonce_in_doubt_is_not_replaced(ground: Ground, monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """The transaction is mined, but its receipt is not to be had: a second sending would create a second election."""
    monkeypatch.setattr(nonces, "LOOK_PAUSE_SECONDS", 0)
    create(ground, "job:1")
    row = Transaction.objects.get()
    Transaction.objects.update(state="sent")
    real = Node.call
    answers: list[Any] = [NodeUnavailable("silence"), None]

    def doubtful(self: Node, method: str, *params: Any, **options: Any) -> Any:
        if method == "eth_getTransactionReceipt" and answers:
            answer = answers.pop()
            if answer is not None:
                raise answer
            return None
        return real(self, method, *params, **options)

    monkeypatch.setattr(Node, "call", doubtful)
    for _ in range(3):
        handle_refused_offer(nodes=Nodes([ground.url]), row=row, error=CallRefused("nonce too low"))
    row.refresh_from_db()
    assert len(row.hashes) == 1
    create(ground, "job:1")
    assert elections_on_chain(ground) == 1


def test_a_transaction_that_the_node_lost_is_offered_again(held: Ground, settings: Any) -> None:
    row = left_behind(held, settings)
    held.call("anvil_dropTransaction", row.hashes[0])
    held.call("evm_setAutomine", True)
    settings.CHAIN_STUCK_SECONDS = 0
    for _ in range(50):
        if watch_transactions(nodes=Nodes([held.url])) == 0:
            break
    assert elections_on_chain(held) == 1


def test_a_sender_without_funds_says_so_and_goes_on_later(ground: Ground) -> None:
    balance = ground.call("eth_getBalance", OWNER.address, "latest")
    ground.call("anvil_setBalance", OWNER.address, "0x1")
    with pytest.raises(SenderOutOfFunds):
        create(ground, "job:1")
    # Nor does it stop the watcher.
    watch_transactions(nodes=Nodes([ground.url]))
    ground.call("anvil_setBalance", OWNER.address, balance)
    create(ground, "job:1")
    assert elections_on_chain(ground) == 1


def test_a_transaction_that_reverts_in_its_block_names_the_contracts_error(ground: Ground) -> None:
    create(ground, "job:1")
    nodes, abi = Nodes([ground.url]), artifact("ElectionManager")["abi"]
    for key in ("job:2", "job:3"):
        # Both are simulated before either is mined.
        prepare(
            nodes=nodes,
            account=sender_account(),
            key=key,
            kind="cancel",
            to=ground.manager,
            data=encode_call(abi, "cancel", [0]),
            abi=abi,
        )
    send_to_manager(nodes=nodes, key="job:2", function="cancel", arguments=[0])
    for _ in range(2):
        with pytest.raises(TransactionReverted) as raised:
            send_to_manager(nodes=nodes, key="job:3", function="cancel", arguments=[0])
        assert raised.value.extra == {"contract_error": "ElectionIsCancelled"}


def test_nothing_is_sent_to_another_chain(ground: Ground, settings: Any) -> None:
    with pytest.raises(WrongChain):
        create(ground, "job:1", Nodes([ground.url], chain_id=1))
    assert not Transaction.objects.exists()
    assert elections_on_chain(ground) == 0
