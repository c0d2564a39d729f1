"""The lease by which one indexer writes and the others stand by."""

import os
import socket
import threading
import uuid
from datetime import timedelta

from django.db import DatabaseError, close_old_connections, connection
from django.db.models import Q
from django.utils import timezone

from chain.models import Checkpoint
from chain.services.writing import LEASE_SECONDS

RENEW_SECONDS = 1.5


def new_writer_name() -> str:
    """Return a name that no other indexer has, readable in `index_status`."""
    return f"{socket.gethostname()[:30]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def take_lease(*, chain_id: int, writer: str) -> bool:
    """Become the writer when nobody is, or when the last one has been silent for the lease's time."""
    now = timezone.now()
    free = Q(writer="") | Q(writer=writer) | Q(lease_expires_at=None) | Q(lease_expires_at__lt=now)
    taken = Checkpoint.objects.filter(free, pk=chain_id).update(
        writer=writer, lease_expires_at=now + timedelta(seconds=LEASE_SECONDS)
    )
    return bool(taken)


def release_lease(*, chain_id: int, writer: str) -> None:
    """Let a standby take over at once."""
    Checkpoint.objects.filter(pk=chain_id, writer=writer).update(writer="", lease_expires_at=None)


class LeaseKeeper:
    """Renews the lease from a thread of its own while a long fetch or wait goes on."""

    def __init__(self, *, chain_id: int, writer: str) -> None:
        self.chain_id = chain_id
        self.writer = writer
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(RENEW_SECONDS):
            try:
                close_old_connections()
                Checkpoint.objects.filter(pk=self.chain_id, writer=self.writer).update(
                    lease_expires_at=timezone.now() + timedelta(seconds=LEASE_SECONDS)
                )
            except DatabaseError:
                # The writer's own transactions will meet the same; the lease lapses meanwhile, as it should.
                connection.close()
        connection.close()
