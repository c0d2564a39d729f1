"""Counts the requests of keys in memory and writes them in batches."""

import atexit
import logging
import os
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.utils import timezone

from apikeys.models import ApiKeyUsage
from audit.services import record

logger = logging.getLogger(__name__)

# Sorted by key, so that two processes' batches lock rows in one order.
ADD_COUNTS = """
INSERT INTO apikeys_apikeyusage (key_id, hour, route, status, requests)
SELECT batch.key_id, batch.hour, batch.route, batch.status, batch.requests
FROM unnest(%s::uuid[], %s::timestamptz[], %s::text[], %s::int[], %s::bigint[])
    AS batch (key_id, hour, route, status, requests)
JOIN apikeys_apikey ON apikeys_apikey.id = batch.key_id
ORDER BY 1, 2, 3, 4
ON CONFLICT (key_id, hour, route, status)
DO UPDATE SET requests = apikeys_apikeyusage.requests + EXCLUDED.requests
"""
SET_LAST_USE = """
UPDATE apikeys_apikey SET last_used_at = GREATEST(last_used_at, batch.used_at)
FROM (SELECT * FROM unnest(%s::uuid[], %s::timestamptz[]) AS pair (key_id, used_at) ORDER BY 1) AS batch
WHERE apikeys_apikey.id = batch.key_id
"""

_counts: Counter[tuple[UUID, datetime, str, int]] = Counter()
_last_uses: dict[UUID, datetime] = {}
_lock = threading.Lock()
_wake = threading.Event()
_writer: threading.Thread | None = None


def count_request(*, key_id: UUID, route: str, status: int) -> None:
    """Count one request of a key; a thread of the process writes the counts a moment later."""
    now = datetime.now(UTC)
    with _lock:
        _counts[key_id, now.replace(minute=0, second=0, microsecond=0), route[:200], status] += 1
        _last_uses[key_id] = now
    if settings.API_KEY_USAGE_FLUSH_SECONDS and (_writer is None or not _writer.is_alive()):
        _start_writer()


def flush_usage() -> int:
    """Write what was counted since the last time and return how many requests; they are kept if that fails."""
    with _lock:
        counts, last_uses = dict(_counts), dict(_last_uses)
        _counts.clear()
        _last_uses.clear()
    if not counts:
        return 0
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            columns = list(zip(*counts, strict=True))
            cursor.execute(ADD_COUNTS, [*(list(column) for column in columns), list(counts.values())])
            cursor.execute(SET_LAST_USE, [list(last_uses), list(last_uses.values())])
    except DatabaseError:
        with _lock:
            _counts.update(counts)
            for key_id, used_at in last_uses.items():
                _last_uses.setdefault(key_id, used_at)
        raise
    return sum(counts.values())


def forget_usage() -> None:
    """Drop what is not yet written (a forked child's copy of its parent's counts; tests)."""
    global _lock
    _lock = threading.Lock()
    _counts.clear()
    _last_uses.clear()


@transaction.atomic
def delete_old_usage() -> int:
    """Delete the counts older than settings.API_KEY_USAGE_DAYS and return how many rows."""
    before = timezone.now() - timedelta(days=settings.API_KEY_USAGE_DAYS)
    deleted, _ = ApiKeyUsage.objects.filter(hour__lt=before).delete()
    if deleted:
        record(action="apikeys.usage.deleted", data={"before": before.isoformat(), "rows": deleted})
    return deleted


def _start_writer() -> None:
    global _writer
    with _lock:
        if _writer is None or not _writer.is_alive():
            if _writer is None:
                atexit.register(_write_last)
            _writer = threading.Thread(target=_write_for_ever, name="apikeys-usage", daemon=True)
            _writer.start()


def _write_for_ever() -> None:
    while True:
        _wake.wait(settings.API_KEY_USAGE_FLUSH_SECONDS)
        _write_once()


def _write_once() -> None:
    try:
        flush_usage()
    except DatabaseError as error:
        logger.warning("usage of API keys is not written yet (%s)", type(error).__name__)
    finally:
        close_old_connections()


def _write_last() -> None:
    if settings.API_KEY_USAGE_FLUSH_SECONDS:
        _write_once()


os.register_at_fork(after_in_child=forget_usage)
