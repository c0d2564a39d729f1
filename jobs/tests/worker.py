"""A real Celery worker for tests, in a process of its own, on the test's database and broker."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection

from deploy.local.services import ROOT, Service, launch


@contextmanager
def celery_worker(
    folder: Path,
    *,
    queues: str = "default,proofs,chain,notifications,audit",
    include: str = "jobs.tests.worker_types",
    concurrency: int = 1,
    env: dict[str, str] | None = None,
    name: str = "worker",
) -> Iterator[Service]:
    """Run a worker until the block ends. The test needs `transactional_db`: the worker sees committed rows only."""
    changed = {
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
        "DATABASE_URL": re.sub(r"/psephos(?=\?|$)", f"/{connection.settings_dict['NAME']}", os.environ["DATABASE_URL"]),
        "REDIS_URL": settings.REDIS_URL,
        "CELERY_BROKER_URL": settings.CELERY_BROKER_URL,
        "JOBS_LEASE_SECONDS": "2",
        "JOBS_CANCEL_GRACE_SECONDS": "0.5",
        "LOG_LEVEL": "INFO",
        **(env or {}),
    }
    kept = {key: os.environ.get(key) for key in changed}
    log = folder / f"{name}-{time.monotonic_ns()}.log"
    command = [sys.executable, "-m", "celery", "-A", "config", "worker", "--without-gossip", "--without-mingle"]
    command += ["-Q", queues, "-c", str(concurrency), "-n", f"{name}-{time.monotonic_ns()}@test", "-l", "INFO"]
    if include:
        command += ["-I", include]
    os.environ.update(changed)
    try:
        process = launch(name, command, log=log, cwd=ROOT)
    finally:
        for key, value in kept.items():
            if value is None:
                os.environ.pop(key)
            else:
                os.environ[key] = value
    service = Service(name, str(log), process)
    try:
        eventually(lambda: " ready." in log.read_text() or process.poll() is not None, "the worker is ready")
        assert process.poll() is None, log.read_text()[-3000:]
        yield service
    finally:
        service.stop(timeout_seconds=10)


def eventually(is_so: Callable[[], object], what: str, *, timeout_seconds: float = 90) -> None:
    """Wait until a condition holds; generous, since the machine may be busy."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError(f"not within {timeout_seconds} s: {what}")
