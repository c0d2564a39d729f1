"""Writes the audit log's roots into the AuditAnchor contract."""

from collections.abc import Callable
from typing import Any

from django.conf import settings

from audit.exceptions import NoCheckpoint, NothingToAnchor
from audit.selectors import get_checkpoint
from audit.services import get_anchor_contract, get_root_to_anchor, record_anchor
from chain.abi import artifact, encode_call
from chain.exceptions import UnknownContract
from chain.nodes import Nodes
from chain.services.sending import send
from jobs.models import Job
from jobs.services import start


def anchor_contract() -> str:
    """Return the AuditAnchor contract's address; raise UnknownContract when none is configured."""
    place = get_anchor_contract()
    if place is None:
        raise UnknownContract
    return place[1].lower()


def start_anchoring() -> Job | None:
    """Start the job that anchors the last checkpoint; None when it is anchored, or nothing is configured for it."""
    if not settings.CHAIN_SENDER_KEY or get_anchor_contract() is None:
        return None
    try:
        checkpoint = get_root_to_anchor(chain_id=settings.CHAIN_ID, contract=anchor_contract())
    except (NothingToAnchor, NoCheckpoint):
        return None
    return start(
        type="chain.anchor_audit_root",
        input={"tree_size": checkpoint.tree_size},
        idempotency_key=f"audit-anchor:{checkpoint.tree_size}",
    )


def anchor_audit_root(
    *, nodes: Nodes, tree_size: int, on_sent: Callable[[str], None] = lambda tx_hash: None
) -> dict[str, Any]:
    """Write the root of a signed checkpoint on chain, once, and tell the audit log; returns the transaction.

    Raises NoCheckpoint when no checkpoint has the size, TransactionReverted when the contract has a larger one.
    """
    checkpoint = get_checkpoint(size=tree_size)
    contract = anchor_contract()
    abi = artifact("AuditAnchor")["abi"]
    receipt = send(
        nodes=nodes,
        key=f"audit-anchor:{settings.CHAIN_ID}:{contract}:{tree_size}",
        kind="anchor",
        to=contract,
        data=encode_call(abi, "anchor", [tree_size, bytes(checkpoint.root_hash)]),
        abi=abi,
        on_sent=on_sent,
    )
    record_anchor(
        chain_id=settings.CHAIN_ID,
        contract=contract,
        tx_hash=bytes.fromhex(receipt["tx_hash"].removeprefix("0x")),
        tree_size=tree_size,
        root_hash=bytes(checkpoint.root_hash),
    )
    return {"tx_hash": receipt["tx_hash"], "block_number": receipt["block_number"], "tree_size": tree_size}
