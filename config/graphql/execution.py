"""Executes prepared documents: plain fields without the general machinery, and a time limit for each query."""

import functools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import connections
from graphene.types.resolver import dict_or_attr_resolver
from graphql import ExecutionContext, FieldNode, GraphQLObjectType, Undefined, is_leaf_type, is_non_null_type
from graphql.pyutils import Path
from rest_framework.exceptions import APIException

from accounts.models import User
from apikeys.models import ApiKey

logger = logging.getLogger(__name__)


class QueryTimeout(APIException):
    status_code = 503
    default_code = "query_timeout"
    default_detail = "The query took too long; ask for less."


@dataclass
class Context:
    """Who asks, and until when an answer is worth waiting for (monotonic seconds)."""

    user: User | AnonymousUser
    deadline: float
    key: ApiKey | None = None
    auth: Any = None
    query_params: dict[str, str] = field(default_factory=dict)
    method: str = "POST"


@dataclass(frozen=True, slots=True)
class PlainField:
    """A field whose value is an attribute or a dict's item, of a leaf type."""

    attribute: str
    default: Any
    serialize: Callable[[Any], Any]
    is_required: bool


@functools.lru_cache(maxsize=1000)
def plain_fields(parent_type: GraphQLObjectType) -> dict[str, PlainField]:
    """List a type's fields that need no resolver, no arguments and no selection."""
    found = {}
    for name, definition in parent_type.fields.items():
        resolve = definition.resolve
        is_required = is_non_null_type(definition.type)
        kind: Any = definition.type.of_type if is_required else definition.type
        is_plain = isinstance(resolve, functools.partial) and resolve.func is dict_or_attr_resolver
        if is_plain and is_leaf_type(kind) and not definition.args:
            attribute, default = resolve.args
            found[name] = PlainField(attribute, default, kind.serialize, is_required)
    return found


class LeanExecution(ExecutionContext):
    """graphql-core's execution, which skips paths, resolve infos and arguments for plain fields.

    Anything unusual about a plain field (no value where one is required, a failing serializer) goes the general way,
    which reports it.
    """

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        fields: dict[str, list[FieldNode]],
    ) -> dict[str, Any]:
        if time.monotonic() > self.context_value.deadline:
            raise QueryTimeout
        plain = plain_fields(parent_type)
        is_dict = isinstance(source_value, dict)
        results: dict[str, Any] = {}
        for response_name, nodes in fields.items():
            known = plain.get(nodes[0].name.value)
            if known is not None:
                value = (
                    source_value.get(known.attribute, known.default)
                    if is_dict
                    else getattr(source_value, known.attribute, known.default)
                )
                if value is None:
                    if not known.is_required:
                        results[response_name] = None
                        continue
                else:
                    try:
                        serialized = known.serialize(value)
                    except Exception:
                        serialized = None  # reported below
                    if serialized is not None and serialized is not Undefined:
                        results[response_name] = serialized
                        continue
            result = self.execute_field(parent_type, source_value, nodes, Path(path, response_name, parent_type.name))
            if result is not Undefined:
                results[response_name] = result
        return results


def never(value: Any) -> bool:
    """Say that nothing is awaitable: resolvers here are synchronous."""
    return False


class Watchdog:
    """Cancels the database statements of queries that are past their deadline, from one thread for the process."""

    def __init__(self) -> None:
        self.running: dict[int, tuple[float, Any]] = {}
        self.lock = threading.Lock()
        self.thread: threading.Thread | None = None

    @contextmanager
    def watching(self, deadline: float) -> Iterator[None]:
        """Watch the caller's thread: what its database connection runs past the deadline is cancelled."""
        key = threading.get_ident()
        with self.lock:
            self.running[key] = (deadline, connections["default"])
            if self.thread is None or not self.thread.is_alive():
                self.thread = threading.Thread(target=self.run, name="graphql-watchdog", daemon=True)
                self.thread.start()
        try:
            yield
        finally:
            with self.lock:
                self.running.pop(key, None)

    def run(self) -> None:
        while True:
            time.sleep(0.1)
            now = time.monotonic()
            # Under the lock, so that nothing is cancelled that began after its query had ended.
            with self.lock:
                for deadline, wrapper in self.running.values():
                    if now > deadline and (raw := wrapper.connection) is not None:
                        try:
                            raw.cancel_safe(timeout=1)
                        except Exception as error:
                            logger.warning("a late query was not cancelled (%s)", type(error).__name__)


watchdog = Watchdog()
