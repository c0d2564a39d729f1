"""Checks of the parts that a process needs."""

import time
from collections.abc import Callable
from typing import Any

import redis
from django.conf import settings
from django.db import connection


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
    return {"status": "ok" if is_up else "unavailable", "parts": parts}
