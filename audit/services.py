"""Writes the audit log."""

from collections.abc import Mapping
from typing import Any

from audit.context import current
from audit.models import Entry


def record(*, action: str, actor: str | None = None, target: str = "", data: Mapping[str, Any] | None = None) -> Entry:
    """Write an entry in the caller's transaction; a rollback leaves none.

    `action` is dotted (`elections.election.cancelled`); `actor` and `target` are `kind:id` (`user:7`,
    `election:31337/0x…/5`, `system:indexer`). Without an actor, the context's is taken.
    """
    context = current.get()
    entry = Entry.objects.create(
        action=action,
        actor=actor or (context.actor if context else "system"),
        target=target,
        data=dict(data or {}),
        request_id=(context.request_id if context else None) or "",
    )
    if context:
        context.receipts.append(str(entry.pk))
    return entry
