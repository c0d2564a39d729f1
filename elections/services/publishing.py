"""Tells readers, after commit, which elections changed."""

import logging
import time

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.db import transaction

from elections import hot_reads
from elections.events import Changes
from elections.representation import change_message
from elections.selectors import get_revision, list_by_public_id

logger = logging.getLogger(__name__)

GROUP = "elections"
# A larger change (a backfill) is pushed as one message that says: read again.
MAX_PUSHED = 200
LISTS = "list"


def topic_of(public_id: str) -> str:
    return f"election:{public_id}"


def invalidate_on_commit(changes: Changes) -> None:
    """Make readers build their bodies anew once the caller's transaction has committed."""
    if changes:
        transaction.on_commit(lambda: invalidate(changes))


def invalidate(changes: Changes) -> None:
    hot_reads.invalidate([LISTS, *(topic_of(change.public_id) for change in changes)])


def publish_changes(changes: Changes) -> None:
    """Push what changed to the group `elections`; call it after the transaction has committed.

    Whoever reads after the push gets a body at least as new. A push that Redis does not take is logged and lost:
    the bodies are dropped by age, and a socket asks for what it missed when it comes back.
    """
    if not changes:
        return
    invalidate(changes)
    hot_reads.wait_out_lease()
    if len(changes) > MAX_PUSHED:
        messages = [["", f'{{"type":"many_changed","count":{len(changes)},"revision":{get_revision()}}}']]
    else:
        reasons = {change.public_id: sorted(change.reasons) for change in changes}
        messages = [
            [
                election.public_id,
                change_message(
                    election=election,
                    reasons=reasons[election.public_id],
                    is_reorg="retracted" in reasons[election.public_id],
                ),
            ]
            for election in list_by_public_id(public_ids=reasons)
        ]
    message = {"type": "elections.changed", "messages": messages, "published_at": time.time()}
    try:
        async_to_sync(get_channel_layer().group_send)(GROUP, message)
    except OSError as error:
        logger.warning("changes not pushed: redis is away", extra={"error": type(error).__name__})
