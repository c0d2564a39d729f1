"""Writes a transaction's row before the node hears of it: simulated, with its fees and its sender's next nonce."""

from typing import Any

from django.conf import settings
from django.db import transaction

from audit.services import record
from chain.evm import account_from
from chain.exceptions import CallRefused, Reverted, SenderNotConfigured, SenderOutOfFunds, TransactionReverted
from chain.models import Transaction
from chain.nodes import Nodes
from chain.services.sending.fees import suggested_fees
from chain.services.sending.nonces import lock_nonces, next_nonce
from chain.services.sending.refusals import has_no_funds, name_of

# Estimates are made against a state that may have moved on when the transaction is mined.
GAS_MARGIN = 1.25


def sender_account() -> Any:
    """Return the account that signs; raises SenderNotConfigured."""
    if not settings.CHAIN_SENDER_KEY:
        raise SenderNotConfigured
    return account_from(settings.CHAIN_SENDER_KEY)


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
        if has_no_funds(error):
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
