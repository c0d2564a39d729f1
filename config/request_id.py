"""The id of the request that is being answered, for logs and error bodies."""

from contextvars import ContextVar

current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)
