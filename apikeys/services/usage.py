"""Counts the requests of keys in memory and writes them in batches."""

import os
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from apikeys.models import ApiKeyUsage
from audit.services import record

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
WITH used AS (
UPDATE apikeys_apikey SET last_used_at = GREATEST(last_used_at, batch.used_at)
FROM (SELECT * FROM unnest(%s::uuid[], %s::timestamptz[]) AS pair (key_id, used_at) ORDER BY 1) AS batch
WHERE apikeys_apikey.id = batch.key_id
)
SELECT pg_current_xact_id()::text
"""

# By key, hour since 1970, route and status.
Counts = Counter[tuple[UUID, int, str, int]]
LastUses = dict[UUID, float]

_counts: Counts = Counter()
_last_uses: LastUses = {}
_lock = threading.Lock()
_flushing = threading.Lock()
# A batch whose commit was not answered, with its transaction's id: it may be written or not.
_unsure: tuple[str, Counts, LastUses] | None = None


def count_request(*, key_id: UUID, route: str, status: int) -> None:
    """Count one request of a key; a thread of the process writes the counts a moment later."""
    now = time.time()
    name = (key_id, int(now // 3600), route[:200], status)
    with _lock:
        _counts[name] += 1
        _last_uses[key_id] = now


def flush_usage() -> int:
    """Write what was counted since the last time and return how many requests.

    They are kept if that fails, and none is written twice: PostgreSQL is asked what became of a transaction whose
    commit it did not answer.
    """
    with _flushing:
        return _flush() if _is_settled() else 0


def _is_settled() -> bool:
    global _unsure
    if _unsure is None:
        return True
    transaction_id, counts, last_uses = _unsure
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_xact_status(%s::xid8)", [transaction_id])
        status = cursor.fetchone()[0]
    if status == "in progress":
        return False
    _unsure = None
    if status != "committed":
        _put_back(counts, last_uses)
    return True


def _flush() -> int:
    global _unsure
    with _lock:
        counts, last_uses = _counts.copy(), _last_uses.copy()
        _counts.clear()
        _last_uses.clear()
    if not counts:
        return 0
    transaction_id = None
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            key_ids, hours, routes, statuses = zip(*counts, strict=True)
            starts = [datetime.fromtimestamp(hour * 3600, UTC) for hour in hours]
            cursor.execute(ADD_COUNTS, [list(key_ids), starts, list(routes), list(statuses), list(counts.values())])
            used_at = [datetime.fromtimestamp(moment, UTC) for moment in last_uses.values()]
            cursor.execute(SET_LAST_USE, [list(last_uses), used_at])
            [transaction_id] = cursor.fetchone()
    except BaseException:
        if transaction_id is None:
            _put_back(counts, last_uses)
        else:
            _unsure = (transaction_id, counts, last_uses)
        raise
    return counts.total()


def _put_back(counts: Counts, last_uses: LastUses) -> None:
    with _lock:
        _counts.update(counts)
        for key_id, used_at in last_uses.items():
            _last_uses.setdefault(key_id, used_at)


def forget_usage() -> None:
    """Drop what is not yet written (a forked child's copy of its parent's counts; tests)."""
    global _lock, _flushing, _unsure
    _lock, _flushing, _unsure = threading.Lock(), threading.Lock(), None
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


os.register_at_fork(after_in_child=forget_usage)
