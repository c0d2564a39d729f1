"""Checks of the parts that a process needs."""

import time
from collections.abc import Callable
from typing import Any

import redis
from django.conf import settings
from django.db import connection

from chain.selectors import get_chain_health


def check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def check_redis() -> None:
    with redis.Redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
        client.ping()


REQUIRED: dict[str, Callable[[], None]] = {"database": check_database, "redis": check_redis}


def readiness() -> dict[str, Any]:
    """Run every check; a failing part is named by its exception's class, never by its text."""
    parts: dict[str, Any] = {}
    for name, check in REQUIRED.items():
        started = time.perf_counter()
        try:
            check()
        except Exception as error:
            parts[name] = {"status": "down", "error": type(error).__name__}
        else:
            parts[name] = {"status": "up", "milliseconds": round((time.perf_counter() - started) * 1000, 1)}
    is_up = all(part["status"] == "up" for part in parts.values())
    parts["chain"] = chain_state()
    status = "unavailable" if not is_up else "ok" if parts["chain"]["status"] == "up" else "degraded"
    return {"status": status, "parts": parts}


def chain_state() -> dict[str, Any]:
    """Say whether the index follows its chain; without, we serve what we have, so it takes no readiness away."""
    try:
        health = get_chain_health(settings.CHAIN_ID)
    except Exception as error:
        return {"status": "down", "error": type(error).__name__}
    return {"status": "up" if health.is_up else "down", "code": health.code, "lag_blocks": health.lag_blocks}
