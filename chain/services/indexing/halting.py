"""Stops the indexer before what it must not decide by itself, and lets it go on after a review."""

import logging
from typing import NoReturn

from django.db import transaction
from django.utils import timezone

from audit.services import record
from chain import metrics
from chain.exceptions import CheckpointMoved, IndexerHalted
from chain.models import Checkpoint

logger = logging.getLogger(__name__)


def halt(*, chain_id: int, writer: str, code: str, reason: str) -> NoReturn:
    """Stop writing until an operator has looked; raises IndexerHalted.

    Raises CheckpointMoved where another indexer writes by now: what this one saw does not stop that one.
    """
    with transaction.atomic():
        mine = Checkpoint.objects.filter(pk=chain_id, writer=writer, halted_at=None)
        if not mine.update(halted_at=timezone.now(), halt_code=code, halt_reason=reason):
            raise CheckpointMoved
        record(
            action="chain.indexer.halted",
            actor="system:indexer",
            target=f"chain:{chain_id}",
            data={"code": code, "reason": reason},
        )
    metrics.halted.labels(chain_id).set(1)
    logger.critical("indexer halted", extra={"code": code, "reason": reason})
    raise IndexerHalted(reason, code=code)


def resume_after_review(*, chain_id: int, actor: str = "command:index_chain") -> bool:
    """Let a halted indexer go on, with the node's chain as the right one; return whether it was halted.

    What was final before counts as open again, so that the reorg that was reviewed can be followed.
    """
    with transaction.atomic():
        checkpoint = Checkpoint.objects.select_for_update().filter(pk=chain_id).exclude(halted_at=None).first()
        if checkpoint is None:
            return False
        record(
            action="chain.indexer.resumed",
            actor=actor,
            target=f"chain:{chain_id}",
            data={"code": checkpoint.halt_code, "finalized_block": checkpoint.finalized_block},
        )
        checkpoint.halted_at, checkpoint.halt_code, checkpoint.halt_reason = None, "", ""
        checkpoint.finalized_block = -1
        checkpoint.save(update_fields=["halted_at", "halt_code", "halt_reason", "finalized_block"])
    return True
