"""Tells readers, after commit, which elections changed."""

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

from elections.events import Changes

GROUP = "elections"


def publish_changes(changes: Changes) -> None:
    """Push what changed to the group `elections`; call it after the transaction has committed."""
    if not changes:
        return
    items = [{"id": item.public_id, "reasons": sorted(item.reasons)} for item in changes]
    message = {"type": "elections.changed", "elections": items, "is_reorg": changes.is_reorg}
    async_to_sync(get_channel_layer().group_send)(GROUP, message)
