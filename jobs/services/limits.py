"""Holds a job to its limits: its lease on the row, its memory, its cancellation."""

import contextlib
import logging
import os
import resource
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils import timezone

from jobs.models import Job, JobStatus

logger = logging.getLogger(__name__)


class Lease(threading.Thread):
    """Renews a running job's lease and notices that it was cancelled or taken over.

    A handler that does not look is interrupted, after a grace, as by its soft time limit.
    """

    def __init__(self, *, job_id: uuid.UUID, attempt: int, is_interrupting: bool = True) -> None:
        super().__init__(name=f"lease-{job_id}", daemon=True)
        self.job_id = job_id
        self.attempt = attempt
        self.is_interrupting = is_interrupting
        self.stopped = threading.Event()
        self.is_cancelled = threading.Event()
        self.is_lost = threading.Event()

    def run(self) -> None:
        noticed_at: float | None = None
        interval = settings.JOBS_LEASE_SECONDS / 10
        try:
            while not self.stopped.wait(interval):
                self.renew()
                if self.is_cancelled.is_set() or self.is_lost.is_set():
                    noticed_at = noticed_at or time.monotonic()
                    if time.monotonic() - noticed_at >= settings.JOBS_CANCEL_GRACE_SECONDS:
                        self.interrupt()
                        return
        finally:
            connection.close()

    def renew(self) -> None:
        """Extend the lease; a database that does not answer is asked again at the next turn."""
        try:
            held = Job.objects.filter(pk=self.job_id, status=JobStatus.RUNNING, attempts=self.attempt)
            expires_at = timezone.now() + timedelta(seconds=settings.JOBS_LEASE_SECONDS)
            if not held.update(lease_expires_at=expires_at):
                self.is_lost.set()
            elif held.filter(cancel_requested_at__isnull=False).exists():
                self.is_cancelled.set()
        except Exception as error:
            logger.warning("lease of job %s not renewed (%s)", self.job_id, type(error).__name__)
            connection.close()

    def interrupt(self) -> None:
        # Celery's pool processes turn SIGUSR1 into SoftTimeLimitExceeded; any other process has no such handler.
        handler = signal.getsignal(signal.SIGUSR1)
        if self.is_interrupting and getattr(handler, "__name__", "") == "soft_timeout_sighandler":
            os.kill(os.getpid(), signal.SIGUSR1)

    def stop(self) -> None:
        self.stopped.set()
        self.join(timeout=10)


@contextlib.contextmanager
def limited_memory(limit_mb: int | None) -> Iterator[None]:
    """Let the block allocate `limit_mb` on top of what the process holds; past it MemoryError is raised.

    Private data is counted (RLIMIT_DATA), not address space, of which wasm and Go runtimes reserve gigabytes.
    """
    if limit_mb is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = data_bytes() + limit_mb * 1_048_576
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def data_bytes() -> int:
    """Read how much private data the process holds (VmData, Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
