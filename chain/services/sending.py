"""Sends transactions: one nonce for each key, fees that rise when the chain does not take them, no second sending.

A transaction's row is written before the node hears of it, with every hash under which it is ever offered. So a
worker that dies anywhere is taken up by the next attempt with the same key: at most one nonce is spent on it. Workers
that are about the same transaction at once take the row's lock to change it, and see each other's hashes.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Max
from django.utils import timezone

from audit.services import record
from chain import metrics
from chain.abi import artifact, encode_call, error_name
from chain.evm import account_from
from chain.exceptions import (
    BlockNotFound,
    CallRefused,
    NodeError,
    Reverted,
    SenderNotConfigured,
    SenderOutOfFunds,
    TransactionNotMined,
    TransactionReverted,
    UnknownContract,
)
from chain.models import Transaction
from chain.nodes import Nodes
from chain.selectors import get_checkpoint
from chain.services.contracts import configured_contracts

logger = logging.getLogger(__name__)

State = Transaction.State
GWEI = 1_000_000_000
# A replacement must pay at least a tenth more to be taken (geth's price bump): a quarter more each time.
ESCALATION = 1.25
# Estimates are made against a state that may have moved on when the transaction is mined.
GAS_MARGIN = 1.25
PENDING = (State.PREPARED, State.SENT)
KNOWN = ("already known", "already imported", "known transaction")
TOO_LOW = ("nonce too low", "nonce is too low", "nonce has already been used")
NO_FUNDS = ("insufficient funds", "insufficient balance")
# A nonce counts as taken by somebody else when every endpoint says so, so often and so far apart: an index of receipts
# may lag behind the block that it is about, and a second sending could not be taken back.
LOOKS_FOR_NONCE = 3
LOOK_PAUSE_SECONDS = 0.5
UNDERPRICED = ("underpriced", "fee too low", "replacement fee")


def sender_account() -> Any:
    """Return the account that signs; raises SenderNotConfigured."""
    if not settings.CHAIN_SENDER_KEY:
        raise SenderNotConfigured
    return account_from(settings.CHAIN_SENDER_KEY)


def manager_address(contract: str | None = None) -> str:
    """Return the ElectionManager to send to: the named one if it is ours, else the first; raises UnknownContract."""
    ours = [known.address for known in configured_contracts() if known.profile == "psephos"]
    if contract is None and ours:
        return ours[0]
    if contract is None or contract.lower() not in ours:
        raise UnknownContract
    return contract.lower()


def send_to_manager(
    *,
    nodes: Nodes,
    key: str,
    function: str,
    arguments: Sequence[Any],
    contract: str | None = None,
    on_sent: Callable[[str], None] = lambda tx_hash: None,
) -> dict[str, Any]:
    """Call a function of ElectionManager by a transaction, and wait until it is mined."""
    abi = artifact("ElectionManager")["abi"]
    return send(
        nodes=nodes,
        key=key,
        kind=function,
        to=manager_address(contract),
        data=encode_call(abi, function, list(arguments)),
        abi=abi,
        on_sent=on_sent,
    )


def send(
    *,
    nodes: Nodes,
    key: str,
    kind: str,
    to: str,
    data: str,
    abi: list[dict[str, Any]],
    on_sent: Callable[[str], None] = lambda tx_hash: None,
) -> dict[str, Any]:
    """Send a transaction once for a key and return its receipt's `tx_hash`, `block_number` and `logs`.

    May be called again with the same key after any failure. Raises TransactionReverted, naming the contract's
    error, when the contract refuses; TransactionNotMined when the chain did not take it within
    CHAIN_SEND_TIMEOUT_SECONDS (a later call goes on waiting).
    """
    account = sender_account()
    row = Transaction.objects.filter(key=key).first()
    if row is None:
        row = prepare(nodes=nodes, account=account, key=key, kind=kind, to=to, data=data, abi=abi)
    if row.state == State.REVERTED:
        raise TransactionReverted(row.error)
    return await_mined(nodes=nodes, account=account, row=row, abi=abi, on_sent=on_sent)


def prepare(
    *, nodes: Nodes, account: Any, key: str, kind: str, to: str, data: str, abi: list[dict[str, Any]]
) -> Transaction:
    """Simulate the call, then give it the sender's next nonce."""
    call = {"from": account.address, "to": to, "data": data}
    try:
        gas = int(int(nodes.call("eth_estimateGas", call), 16) * GAS_MARGIN) + 10_000
    except Reverted as error:
        raise TransactionReverted(name_of(error, abi)) from error
    except CallRefused as error:
        if any(words in str(error).lower() for words in NO_FUNDS):
            raise SenderOutOfFunds from error
        raise
    max_fee, priority = suggested_fees(nodes)
    chain_id = settings.CHAIN_ID
    sender = account.address.lower()
    mined = int(nodes.call("eth_getTransactionCount", account.address, "latest"), 16)
    with transaction.atomic():
        lock_nonces(chain_id=chain_id, sender=sender)
        known = Transaction.objects.filter(key=key).first()
        if known is not None:
            return known
        row = Transaction.objects.create(
            chain_id=chain_id,
            sender=sender,
            nonce=next_nonce(chain_id=chain_id, sender=sender, mined=mined),
            key=key,
            kind=kind,
            to=to,
            data=data,
            gas=gas,
            max_fee_per_gas=max_fee,
            max_priority_fee_per_gas=priority,
        )
        record(
            action="chain.transaction.prepared",
            target=f"transaction:{chain_id}/{sender}/{row.nonce}",
            data={"kind": kind, "to": to, "key": key},
        )
    return row


def lock_nonces(*, chain_id: int, sender: str) -> None:
    """Let one at a time draw a sender's nonces, in the caller's transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"nonce:{chain_id}:{sender}"])


def next_nonce(*, chain_id: int, sender: str, mined: int) -> int:
    """Return the first nonce that neither the chain nor a transaction of ours has used."""
    ours = Transaction.objects.filter(chain_id=chain_id, sender=sender, nonce__gte=mined)
    highest = ours.aggregate(highest=Max("nonce"))["highest"]
    return mined if highest is None else int(highest) + 1


def suggested_fees(nodes: Nodes) -> tuple[int, int]:
    """Return (max fee, priority fee) per gas in wei, bearing a doubling of the base fee."""
    try:
        priority = int(nodes.call("eth_maxPriorityFeePerGas"), 16)
    except CallRefused:
        priority = GWEI
    priority = max(1, min(priority, settings.CHAIN_MAX_FEE_GWEI * GWEI))
    base = int(nodes.call("eth_getBlockByNumber", "latest", False).get("baseFeePerGas", "0x0"), 16)
    return min(2 * base + priority, settings.CHAIN_MAX_FEE_GWEI * GWEI), priority


def lock(row: Transaction) -> None:
    """Read a transaction afresh and hold it: another worker may be about it too."""
    row.refresh_from_db(from_queryset=Transaction.objects.select_for_update())


def offer(*, nodes: Nodes, account: Any, row: Transaction) -> str:
    """Sign a row's transaction and hand it to the node; returns its hash."""
    with transaction.atomic():
        lock(row)
        signed = account.sign_transaction(
            {
                "chainId": row.chain_id,
                "nonce": row.nonce,
                "gas": row.gas,
                "maxFeePerGas": int(row.max_fee_per_gas),
                "maxPriorityFeePerGas": int(row.max_priority_fee_per_gas),
                "to": bytes.fromhex(row.to[2:]),
                "value": 0,
                "data": row.data,
            }
        )
        tx_hash = "0x" + signed.hash.hex().removeprefix("0x")
        if tx_hash not in row.hashes:
            row.hashes = [*row.hashes, tx_hash]
        row.offered_at = timezone.now()
        # Before the node hears of it: whoever comes after us knows what to look for.
        row.save(update_fields=["hashes", "offered_at"])
    nodes.call("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex().removeprefix("0x"))
    Transaction.objects.filter(pk=row.pk, state=State.PREPARED).update(state=State.SENT)
    return tx_hash


def await_mined(
    *,
    nodes: Nodes,
    account: Any,
    row: Transaction,
    abi: list[dict[str, Any]],
    on_sent: Callable[[str], None] = lambda tx_hash: None,
) -> dict[str, Any]:
    """Offer a transaction until a block has it, paying more each time that it is stuck."""
    deadline = time.monotonic() + settings.CHAIN_SEND_TIMEOUT_SECONDS
    is_told, pause = False, 0.05
    while time.monotonic() < deadline:
        receipt = find_receipt(nodes=nodes, row=row)
        if receipt is not None:
            return settle(nodes=nodes, row=row, receipt=receipt, abi=abi)
        age = (timezone.now() - row.offered_at).total_seconds() if row.offered_at else None
        try:
            if age is None:
                tx_hash = offer(nodes=nodes, account=account, row=row)
                if not is_told:
                    is_told = True
                    on_sent(tx_hash)
            elif age >= settings.CHAIN_STUCK_SECONDS:
                escalate(nodes=nodes, account=account, row=row)
        except CallRefused as error:
            handle_refused_offer(nodes=nodes, row=row, error=error)
        except NodeError as error:
            logger.warning("offering a transaction failed", extra={"key": row.key, "reason": str(error)})
        time.sleep(pause)
        pause = min(pause * 1.5, 1.0)
    metrics.transactions.labels(row.kind, "not_mined").inc()
    raise TransactionNotMined


def find_receipt(*, nodes: Nodes, row: Transaction) -> dict[str, Any] | None:
    """Look for the receipt of any hash under which the transaction was offered."""
    for tx_hash in reversed(row.hashes):
        try:
            receipt: dict[str, Any] | None = nodes.call("eth_getTransactionReceipt", tx_hash)
        except NodeError:
            return None
        if receipt:
            return receipt
    return None


def is_gone(*, nodes: Nodes, row: Transaction) -> bool:
    """Tell whether the chain has no receipt of a transaction that it had; False when the node does not say."""
    try:
        return all(nodes.call("eth_getTransactionReceipt", tx_hash) is None for tx_hash in row.hashes)
    except NodeError:
        return False


def escalate(*, nodes: Nodes, account: Any, row: Transaction) -> None:
    """Offer a stuck transaction again with higher fees, up to CHAIN_MAX_FEE_GWEI; an unpaid one just again."""
    ceiling = settings.CHAIN_MAX_FEE_GWEI * GWEI
    suggested_fee, suggested_priority = suggested_fees(nodes)
    offered_at = row.offered_at
    with transaction.atomic():
        lock(row)
        if row.offered_at != offered_at:
            # Another worker has just done so.
            return
        max_fee = min(max(int(int(row.max_fee_per_gas) * ESCALATION) + 1, suggested_fee), ceiling)
        priority = min(max(int(int(row.max_priority_fee_per_gas) * ESCALATION) + 1, suggested_priority), max_fee)
        if max_fee > row.max_fee_per_gas:
            row.max_fee_per_gas, row.max_priority_fee_per_gas = max_fee, priority
            row.save(update_fields=["max_fee_per_gas", "max_priority_fee_per_gas"])
            metrics.gas_escalations.labels(row.kind).inc()
            logger.warning("transaction stuck; paying more", extra={"key": row.key, "max_fee_per_gas": max_fee})
    offer(nodes=nodes, account=account, row=row)


def handle_refused_offer(*, nodes: Nodes, row: Transaction, error: CallRefused) -> None:
    """Understand a node's refusal of a transaction: known already, too cheap to replace, or its nonce is gone."""
    text = str(error).lower()
    # Of an underpriced one, the fees rise again after the next wait.
    if any(words in text for words in (*KNOWN, *UNDERPRICED)):
        return
    if any(words in text for words in NO_FUNDS):
        # The node did not take it: the next attempt need not wait until it is stuck.
        Transaction.objects.filter(pk=row.pk).update(offered_at=None)
        raise SenderOutOfFunds from error
    if not any(words in text for words in TOO_LOW):
        raise error
    if is_nonce_lost(nodes=nodes, row=row):
        renumber(nodes=nodes, row=row)


def is_nonce_lost(*, nodes: Nodes, row: Transaction) -> bool:
    """Tell whether another transaction than ours has the nonce; False as long as any endpoint leaves a doubt."""
    for look in range(LOOKS_FOR_NONCE):
        if look:
            time.sleep(LOOK_PAUSE_SECONDS)
        for node in nodes.nodes:
            try:
                mined = int(node.call("eth_getTransactionCount", row.sender, "latest"), 16)
                receipts = [node.call("eth_getTransactionReceipt", tx_hash) for tx_hash in row.hashes]
            except NodeError:
                return False
            if mined <= row.nonce or any(receipts):
                return False
    return True


def renumber(*, nodes: Nodes, row: Transaction) -> None:
    """Draw another nonce for a transaction whose own somebody else has used with our key."""
    nonce, hashes = row.nonce, row.hashes
    mined = int(nodes.call("eth_getTransactionCount", row.sender, "latest"), 16)
    with transaction.atomic():
        lock_nonces(chain_id=row.chain_id, sender=row.sender)
        lock(row)
        if (row.nonce, row.hashes) != (nonce, hashes):
            # Another worker has done so, or has offered it under a hash that we did not look for.
            return
        row.nonce = next_nonce(chain_id=row.chain_id, sender=row.sender, mined=mined)
        row.hashes, row.offered_at, row.state = [], None, State.PREPARED
        row.save(update_fields=["nonce", "hashes", "offered_at", "state"])
        record(
            action="chain.transaction.renumbered",
            target=f"transaction:{row.chain_id}/{row.sender}/{row.nonce}",
            data={"key": row.key},
        )
    metrics.transactions.labels(row.kind, "renumbered").inc()


def settle(*, nodes: Nodes, row: Transaction, receipt: dict[str, Any], abi: list[dict[str, Any]]) -> dict[str, Any]:
    """Keep what became of a mined transaction; raises TransactionReverted."""
    block_number = int(receipt["blockNumber"], 16)
    is_good = receipt["status"] == "0x1"
    error = "" if is_good else reason_of(nodes=nodes, row=row, block_number=block_number, abi=abi)
    with transaction.atomic():
        moved = Transaction.objects.filter(pk=row.pk, state__in=PENDING).update(
            state=State.MINED if is_good else State.REVERTED, block_number=block_number, error=error[:300]
        )
        if moved:
            record(
                action="chain.transaction.mined" if is_good else "chain.transaction.reverted",
                target=f"transaction:{row.chain_id}/{row.sender}/{row.nonce}",
                data={"kind": row.kind, "tx_hash": receipt["transactionHash"], "block": block_number},
            )
    if moved:
        metrics.transactions.labels(row.kind, "mined" if is_good else "reverted").inc()
    if not is_good:
        raise TransactionReverted(error)
    return {"tx_hash": receipt["transactionHash"], "block_number": block_number, "logs": receipt["logs"]}


def reason_of(*, nodes: Nodes, row: Transaction, block_number: int, abi: list[dict[str, Any]]) -> str:
    """Ask the contract again, on the block's state, by which custom error it refused; empty where none is known."""
    try:
        nodes.call("eth_call", {"from": row.sender, "to": row.to, "data": row.data}, hex(block_number))
    except Reverted as error:
        return name_of(error, abi)
    except (NodeError, BlockNotFound):
        return ""
    return ""


def name_of(error: Reverted, abi: list[dict[str, Any]]) -> str:
    """Name the custom error with which a contract refused; empty where the ABI does not know it."""
    return error_name(abi, error.data.get("data") if isinstance(error.data, dict) else error.data)


def watch_transactions(*, nodes: Nodes) -> int:
    """Take up what dead workers left: offer again what is stuck, settle what is mined; return how many are pending.

    A transaction that nobody offers blocks every later nonce of its sender.
    """
    if not settings.CHAIN_SENDER_KEY:
        return 0
    account = sender_account()
    abi = artifact("ElectionManager")["abi"]
    ours = Transaction.objects.filter(chain_id=settings.CHAIN_ID, sender=account.address.lower())
    checkpoint = get_checkpoint(settings.CHAIN_ID)
    for row in ours.filter(state=State.MINED, block_number__gt=checkpoint.finalized_block if checkpoint else 0):
        if is_gone(nodes=nodes, row=row):
            # A reorg took its block away, and the node may have forgotten it: it is offered again.
            ours.filter(pk=row.pk, state=State.MINED).update(state=State.SENT, block_number=None)
    pending = ours.filter(state__in=PENDING).order_by("nonce")
    for row in pending:
        try:
            receipt = find_receipt(nodes=nodes, row=row)
            if receipt is not None:
                settle(nodes=nodes, row=row, receipt=receipt, abi=abi)
            elif row.offered_at is None:
                if (timezone.now() - row.created_at).total_seconds() >= settings.CHAIN_STUCK_SECONDS:
                    offer(nodes=nodes, account=account, row=row)
            elif (timezone.now() - row.offered_at).total_seconds() >= settings.CHAIN_STUCK_SECONDS:
                escalate(nodes=nodes, account=account, row=row)
        except TransactionReverted:
            continue
        except CallRefused as error:
            take_refusal(nodes=nodes, row=row, error=error)
        except NodeError as error:
            logger.warning("watching a transaction failed", extra={"key": row.key, "reason": str(error)})
    return pending.count()


def take_refusal(*, nodes: Nodes, row: Transaction, error: CallRefused) -> None:
    """Handle a refusal for the watcher: what no rule covers is logged, and the other transactions are looked at."""
    try:
        handle_refused_offer(nodes=nodes, row=row, error=error)
    except (CallRefused, SenderOutOfFunds) as refused:
        logger.error("a transaction is refused", extra={"key": row.key, "reason": str(refused)})
