"""Checks of the parts that a process, or the whole stack, needs."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from chain.exceptions import NodeError
from chain.selectors import get_chain_health
from chain.services import build_nodes
from config.celery import app as celery_app
from notifications.services import provider_states

# Behind by more than this, an index is called out of date.
LAG_BLOCKS = 20
# Leases, tokens and audit entries compare clocks of several machines.
MAX_SKEW_SECONDS = 5


class Unhealthy(Exception):
    """A part answers, but not as it should; message and code may be shown."""

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.details = {"code": code} if code else {}


@dataclass(frozen=True)
class Part:
    """What one check found."""

    name: str
    is_up: bool
    milliseconds: float
    error: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        error = {"error": self.error} if self.error else {}
        status = "up" if self.is_up else "down"
        return {"name": self.name, "status": status, "milliseconds": self.milliseconds, **error, **self.details}


def check_postgresql() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT split_part(version(), ' ', 2), extract(epoch FROM clock_timestamp())")
        version, clock = cursor.fetchone()
    skew_seconds = abs(time.time() - float(clock))
    if skew_seconds > MAX_SKEW_SECONDS:
        raise Unhealthy(f"PostgreSQL's clock and ours differ by {skew_seconds:.0f} s", code="clock_skew")
    return {"version": version}


def check_redis() -> dict[str, Any]:
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
        return {"version": client.info("server")["redis_version"]}


def check_broker() -> dict[str, Any]:
    """Reach whichever broker is set: RabbitMQ or Redis."""
    with celery_app.connection_for_write(connect_timeout=2) as link:
        link.ensure_connection(max_retries=1, timeout=2)
        return {"transport": {"amqp": "RabbitMQ", "redis": "Redis"}.get(link.transport.driver_type, "other")}


def check_node() -> dict[str, Any]:
    if not settings.CHAIN_RPC_URLS:
        raise Unhealthy("CHAIN_RPC_URLS is empty")
    nodes = build_nodes()
    chain_id = int(nodes.call("eth_chainId"), 16)
    if chain_id != settings.CHAIN_ID:
        raise Unhealthy(f"the node serves chain {chain_id}, CHAIN_ID is {settings.CHAIN_ID}")
    return {"chain_id": chain_id, "block": int(nodes.call("eth_blockNumber"), 16)}


def check_migrations() -> dict[str, Any]:
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if plan:
        raise Unhealthy(f"{len(plan)} migrations are not applied, the first is {plan[0][0]}")
    return {}


def check_workers() -> dict[str, Any]:
    answers = celery_app.control.inspect(timeout=3).active_queues() or {}
    if not answers:
        raise Unhealthy("no worker answers")
    served = {queue["name"] for queues in answers.values() for queue in queues}
    if missing := sorted(set(settings.QUEUES) - served):
        raise Unhealthy(f"no worker takes from {', '.join(missing)}")
    return {"workers": len(answers)}


def check_chain() -> dict[str, Any]:
    """Judge how the index follows its chain, without asking a node."""
    health = get_chain_health(settings.CHAIN_ID)
    if not health.is_up:
        raise Unhealthy(health.detail, code=health.code)
    if (health.lag_blocks or 0) > LAG_BLOCKS:
        raise Unhealthy(f"The index is {health.lag_blocks} blocks behind the node.", code="behind")
    return {"code": health.code, "lag_blocks": health.lag_blocks}


def check_messages() -> dict[str, Any]:
    """Say how the providers of e-mail and SMS do, by the last hour's messages; none is called."""
    states = provider_states()
    for channel, state in states.items():
        if state["status"] == "failing":
            sent, failed = state["sent"], state["failed"]
            raise Unhealthy(f"{channel} by {state['provider']}: {failed} failed and {sent} sent in the last hour")
    return {channel: f"{state['provider']} {state['status']}" for channel, state in states.items()}


CHECKS: dict[str, Callable[[], dict[str, Any]]] = {
    "postgresql": check_postgresql,
    "redis": check_redis,
    "broker": check_broker,
    "node": check_node,
    "migrations": check_migrations,
    "workers": check_workers,
    "chain": check_chain,
    "messages": check_messages,
}
# A web process serves while these answer; the others make it say "degraded" and serve what it has.
REQUIRED = ("postgresql", "redis")
# Those that a probe may ask every few seconds: none leaves the database, Redis or this process.
PROBED = (*REQUIRED, "chain")


def run_check(name: str) -> Part:
    """Run one check; its error is our own sentence, else the exception's class, never an exception's text."""
    started = time.perf_counter()
    error = ""
    details: Mapping[str, Any] = {}
    try:
        details = CHECKS[name]()
    except Unhealthy as unhealthy:
        error, details = str(unhealthy), unhealthy.details
    except ImproperlyConfigured as refused:
        error = str(refused)
    except NodeError as unreachable:
        error = f"no node answers ({type(unreachable).__name__})"
    except Exception as exception:
        error = type(exception).__name__
    milliseconds = round((time.perf_counter() - started) * 1000, 1)
    return Part(name, not error, milliseconds, error, details)


def run_checks(names: Iterable[str] = CHECKS) -> list[Part]:
    return [run_check(name) for name in names]


def readiness() -> dict[str, Any]:
    """Say whether a web process can serve: `unavailable` without a required part, `degraded` without another."""
    parts = {part.pop("name"): part for part in (found.as_json() for found in run_checks(PROBED))}
    down = {name for name, part in parts.items() if part["status"] == "down"}
    status = "unavailable" if down & set(REQUIRED) else "degraded" if down else "ok"
    return {"status": status, "parts": parts}
