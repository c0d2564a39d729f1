"""Job types and jobs for tests."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jobs.services import JobType, registry

ANY_OBJECT = {"type": "object"}


def noop(run: Any, value: dict[str, Any]) -> dict[str, Any]:
    return {"echo": value}


@contextmanager
def job_type(name: str = "tests.noop", handler: Callable[..., Any] = noop, **changes: Any) -> Iterator[JobType]:
    """Register a type for the block."""
    made = JobType(name=name, handler=handler, **({"input_schema": ANY_OBJECT} | changes))
    registry.registered[name] = made
    try:
        yield made
    finally:
        del registry.registered[name]
