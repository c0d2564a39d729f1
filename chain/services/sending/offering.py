"""Hands a transaction to the node, again with higher fees when it is stuck, and bears the node's refusals."""

import logging
from typing import Any

from django.db import transaction
from django.utils import timezone

from chain import metrics
from chain.exceptions import CallRefused, SenderOutOfFunds
from chain.models import Transaction
from chain.nodes import Nodes
from chain.selectors import lock_transaction
from chain.services.sending.fees import raised_fees, suggested_fees
from chain.services.sending.nonces import is_nonce_lost, renumber
from chain.services.sending.refusals import has_no_funds, is_nonce_used, is_offered

logger = logging.getLogger(__name__)


def offer(*, nodes: Nodes, account: Any, row: Transaction) -> str:
    """Sign a row's transaction and hand it to the node; returns its hash."""
    with transaction.atomic():
        lock_transaction(row)
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
    Transaction.objects.filter(pk=row.pk, state=Transaction.State.PREPARED).update(state=Transaction.State.SENT)
    return tx_hash


def escalate(*, nodes: Nodes, account: Any, row: Transaction) -> None:
    """Offer a stuck transaction again with higher fees, up to CHAIN_MAX_FEE_GWEI; an unpaid one just again."""
    suggested = suggested_fees(nodes)
    offered_at = row.offered_at
    with transaction.atomic():
        lock_transaction(row)
        if row.offered_at != offered_at:
            # Another worker has just done so.
            return
        max_fee, priority = raised_fees(row=row, suggested=suggested)
        if max_fee > row.max_fee_per_gas:
            row.max_fee_per_gas, row.max_priority_fee_per_gas = max_fee, priority
            row.save(update_fields=["max_fee_per_gas", "max_priority_fee_per_gas"])
            metrics.gas_escalations.labels(row.kind).inc()
            logger.warning("transaction stuck; paying more", extra={"key": row.key, "max_fee_per_gas": max_fee})
    offer(nodes=nodes, account=account, row=row)


def handle_refused_offer(*, nodes: Nodes, row: Transaction, error: CallRefused) -> None:
    """Understand a node's refusal of a transaction: known already, too cheap to replace, or its nonce is gone."""
    # Of an underpriced one, the fees rise again after the next wait.
    if is_offered(error):
        return
    if has_no_funds(error):
        # The node did not take it: the next attempt need not wait until it is stuck.
        Transaction.objects.filter(pk=row.pk).update(offered_at=None)
        raise SenderOutOfFunds from error
    if not is_nonce_used(error):
        raise error
    if is_nonce_lost(nodes=nodes, row=row):
        renumber(nodes=nodes, row=row)
