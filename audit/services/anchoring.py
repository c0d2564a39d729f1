"""What the chain's room needs to anchor the log: which root, and that it is done."""

from django.db import transaction

from audit.exceptions import NothingToAnchor
from audit.models import Anchor, Checkpoint
from audit.registers import ANCHORS
from audit.selectors import get_checkpoint
from audit.services.registering import record_row


def get_root_to_anchor(*, chain_id: int, contract: str) -> Checkpoint:
    """Return the last checkpoint; raise NothingToAnchor when this contract has its size already, NoCheckpoint."""
    checkpoint = get_checkpoint()
    if Anchor.objects.filter(
        chain_id=chain_id, contract=contract.lower(), tree_size__gte=checkpoint.tree_size
    ).exists():
        raise NothingToAnchor
    return checkpoint


@transaction.atomic
def record_anchor(*, chain_id: int, contract: str, tx_hash: bytes, tree_size: int, root_hash: bytes) -> Anchor:
    """Keep that a root stands on chain; record an entry. Done again for the same size, it changes nothing."""
    anchor, is_new = Anchor.objects.get_or_create(
        chain_id=chain_id,
        contract=contract.lower(),
        tree_size=tree_size,
        defaults={"tx_hash": tx_hash, "root_hash": root_hash},
    )
    if is_new:
        record_row(ANCHORS, anchor, target=f"anchor:{chain_id}/{contract.lower()}/{tree_size}")
    return anchor
