"""What became of a transaction: its receipt under any of its hashes, kept in its row and in the audit log."""

from typing import Any

from django.db import transaction

from audit.services import record
from chain import metrics
from chain.exceptions import BlockNotFound, NodeError, Reverted, TransactionReverted
from chain.models import Transaction
from chain.nodes import Nodes
from chain.services.sending.refusals import name_of


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


def settle(*, nodes: Nodes, row: Transaction, receipt: dict[str, Any], abi: list[dict[str, Any]]) -> dict[str, Any]:
    """Keep what became of a mined transaction; raises TransactionReverted."""
    block_number = int(receipt["blockNumber"], 16)
    is_good = receipt["status"] == "0x1"
    error = "" if is_good else reason_of(nodes=nodes, row=row, block_number=block_number, abi=abi)
    with transaction.atomic():
        moved = (
            Transaction.objects.pending()
            .filter(pk=row.pk)
            .update(
                state=Transaction.State.MINED if is_good else Transaction.State.REVERTED,
                block_number=block_number,
                error=error[:300],
            )
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
