"""The registry of job types, filled by each app's `tasks` module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator
from rest_framework.permissions import BasePermission

from jobs.exceptions import JobTypeConflict, UnknownJobType

if TYPE_CHECKING:
    from jobs.services.running import JobRun

QUEUES = ("default", "proofs", "chain", "notifications", "audit")


@dataclass(frozen=True)
class JobType:
    """What may be run: its input's JSON Schema, who may start it over HTTP, where and within which limits.

    `permission=None` keeps it off HTTP. A handler that raises an APIException below 500 fails for good; any other
    error is tried again, up to `max_attempts`, after `retry_backoff_seconds` doubled each time.
    `memory_limit_mb` is what the handler may allocate on top of what the worker holds already.
    With `is_secret` the input is kept encrypted, in Redis only, and wiped when the job ends.
    """

    name: str
    input_schema: Mapping[str, Any]
    handler: Callable[[JobRun, dict[str, Any]], dict[str, Any]]
    permission: type[BasePermission] | None = None
    queue: str = "default"
    soft_time_limit_seconds: int = 300
    time_limit_seconds: int = 330
    memory_limit_mb: int | None = None
    max_attempts: int = 3
    retry_backoff_seconds: float = 5
    max_input_bytes: int = 262_144
    is_secret: bool = False
    description: str = ""

    def __post_init__(self) -> None:
        if self.queue not in QUEUES:
            raise ValueError(f"{self.name}: unknown queue {self.queue}")
        if not 0 < self.soft_time_limit_seconds < self.time_limit_seconds:
            raise ValueError(f"{self.name}: the soft time limit must be below the hard one")
        if self.max_attempts < 1:
            raise ValueError(f"{self.name}: at least one attempt is needed")
        Draft202012Validator.check_schema(self.input_schema)

    @cached_property
    def validator(self) -> Draft202012Validator:
        return Draft202012Validator(self.input_schema)


registered: dict[str, JobType] = {}


def register(job_type: JobType) -> JobType:
    """Add a type to the registry; the same handler may register its name again, another one may not."""
    known = registered.get(job_type.name)
    if known is not None and identity(known) != identity(job_type):
        raise JobTypeConflict(f"{job_type.name} is registered by {identity(known)} and {identity(job_type)}")
    registered[job_type.name] = job_type
    return job_type


def identity(job_type: JobType) -> str:
    return f"{job_type.handler.__module__}.{job_type.handler.__qualname__}"


def get_job_type(name: str) -> JobType:
    """Get a type by its name, or raise UnknownJobType."""
    try:
        return registered[name]
    except KeyError:
        raise UnknownJobType from None


def list_job_types() -> list[JobType]:
    """List the types by name."""
    return [registered[name] for name in sorted(registered)]


def list_startable_types(*, request: Any) -> list[JobType]:
    """List the types that a request's caller may start, by name."""
    startable = [(found, found.permission()) for found in list_job_types() if found.permission is not None]
    return [found for found, permission in startable if permission.has_permission(request, None)]  # type: ignore[arg-type]
