"""Job types that a worker process of the tests knows; each names what it does to its worker."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from django.core.cache import cache

from jobs.services import JobRun, JobType, register

SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": True}


def count(name: str) -> int:
    """Count a call where the test can see it."""
    cache.add(f"tests:{name}", 0, 600)
    return cache.incr(f"tests:{name}")


def echo(run: JobRun, value: dict[str, Any]) -> dict[str, Any]:
    count(value["name"])
    return {"pid": os.getpid(), "attempt": run.attempt}


def kill_once(run: JobRun, value: dict[str, Any]) -> dict[str, Any]:
    """Have an effect, die by SIGKILL in the first attempt, end in the second."""
    effects = run.once("effect", lambda: count(value["name"]))
    if run.attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return {"effects": effects, "attempt": run.attempt}


def kill_always(run: JobRun, value: dict[str, Any]) -> dict[str, Any]:
    count(value["name"])
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def wait(run: JobRun, value: dict[str, Any]) -> dict[str, Any]:
    """Sleep without ever looking whether the job was cancelled."""
    count(value["name"])
    time.sleep(120)
    return {}


def endure(run: JobRun, value: dict[str, Any]) -> dict[str, Any]:
    """Ignore the soft time limit."""
    count(value["name"])
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


def leak(run: JobRun, value: dict[str, Any]) -> dict[str, Any]:
    """Fail with the secret in the exception's text and in a local variable."""
    witness = value["witness"]
    Path("/nonexistent", witness).read_text()
    return {}


for name, handler, changes in [
    ("tests.echo", echo, {}),
    ("tests.kill_once", kill_once, {}),
    ("tests.kill_always", kill_always, {"max_attempts": 2}),
    ("tests.wait", wait, {}),
    ("tests.wait_briefly", wait, {"soft_time_limit_seconds": 1, "time_limit_seconds": 30}),
    ("tests.endure", endure, {"soft_time_limit_seconds": 1, "time_limit_seconds": 3}),
    ("tests.leak", leak, {"is_secret": True, "max_attempts": 2, "retry_backoff_seconds": 0.1}),
]:
    register(JobType(name=name, input_schema=SCHEMA, handler=handler, **changes))
