"""Who acts, and in which request, for the entries that are recorded meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field


@dataclass
class AuditContext:
    request_id: str | None = None
    actor: str = "system"
    # Ids of the entries that committed.
    receipts: list[str] = field(default_factory=list)


current: ContextVar[AuditContext | None] = ContextVar("audit_context", default=None)


@contextmanager
def auditing(*, request_id: str | None = None, actor: str = "system") -> Iterator[AuditContext]:
    """Collect the receipts of entries recorded inside; `actor` is theirs when `record` is given none."""
    context = AuditContext(request_id=request_id, actor=actor)
    token = current.set(context)
    try:
        yield context
    finally:
        current.reset(token)
