"""Takes up the transactions that dead workers left, and those whose blocks a reorg took away."""

import logging

from django.conf import settings
from django.utils import timezone

from chain.abi import artifact
from chain.exceptions import CallRefused, NodeError, SenderOutOfFunds, TransactionReverted
from chain.models import Transaction
from chain.nodes import Nodes
from chain.selectors import get_checkpoint
from chain.services.sending.offering import escalate, handle_refused_offer, offer
from chain.services.sending.preparing import sender_account
from chain.services.sending.receipts import find_receipt, is_gone, settle

logger = logging.getLogger(__name__)


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
    for row in ours.filter(
        state=Transaction.State.MINED, block_number__gt=checkpoint.finalized_block if checkpoint else 0
    ):
        if is_gone(nodes=nodes, row=row):
            # A reorg took its block away, and the node may have forgotten it: it is offered again.
            ours.filter(pk=row.pk, state=Transaction.State.MINED).update(
                state=Transaction.State.SENT, block_number=None
            )
    pending = ours.pending().order_by("nonce")
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
