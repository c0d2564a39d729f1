"""Calls a contract by a transaction, once for a key, and waits until a block has it."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from django.conf import settings
from django.utils import timezone

from chain import metrics
from chain.abi import artifact, encode_call
from chain.exceptions import CallRefused, NodeError, TransactionNotMined, TransactionReverted, UnknownContract
from chain.models import Transaction
from chain.nodes import Nodes
from chain.services.contracts import configured_contracts
from chain.services.sending.offering import escalate, handle_refused_offer, offer
from chain.services.sending.preparing import prepare, sender_account
from chain.services.sending.receipts import find_receipt, settle

logger = logging.getLogger(__name__)


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
    if row.state == Transaction.State.REVERTED:
        raise TransactionReverted(row.error)
    return await_mined(nodes=nodes, account=account, row=row, abi=abi, on_sent=on_sent)


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
