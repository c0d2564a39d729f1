"""Keeps the rows of keys in the process's memory for less than a second.

A row is as old as the moment before it was asked for, and is used until settings.API_KEY_CACHE_SECONDS after that: so a
key that is revoked anywhere opens nothing a second later. What is in use is asked for again in the background, all keys
in one query, so that requests seldom wait for the database.
"""

import threading
import time
from dataclasses import dataclass

from django.conf import settings

from apikeys.models import ApiKey
from apikeys.selectors import find_api_key, list_keys_by_lookup_id

CAPACITY = 10_000


@dataclass(slots=True)
class Entry:
    """A row, or None when there is no such key."""

    key: ApiKey | None
    expires_at: float
    is_used: bool = False


_entries: dict[str, Entry] = {}
_lock = threading.Lock()
# What was read before the last change here must not be kept after it.
_changes = 0


def forget_keys() -> None:
    """Drop this process's rows (after a change here, and in tests)."""
    global _changes
    with _lock:
        _changes += 1
        _entries.clear()


def is_known(lookup_id: str) -> bool:
    """Say whether this process has seen a key under the id, though its row may be too old by now."""
    entry = _entries.get(lookup_id)
    return entry is not None and entry.key is not None


def cached_key(lookup_id: str) -> ApiKey | None:
    """Return a key's row with its owner, from memory or the database."""
    now = time.monotonic()
    entry = _entries.get(lookup_id)
    if entry is not None and entry.expires_at > now:
        entry.is_used = True
        return entry.key
    changes = _changes
    key = find_api_key(lookup_id=lookup_id)
    _keep({lookup_id: key}, now=now, changes=changes)
    return key


def refresh_keys() -> int:
    """Read the rows again that were used since the last time, in one query, and return how many."""
    now, changes = time.monotonic(), _changes
    with _lock:
        used = [lookup_id for lookup_id, entry in _entries.items() if entry.is_used and entry.key is not None]
    if used:
        found = list_keys_by_lookup_id(lookup_ids=used)
        _keep({lookup_id: found.get(lookup_id) for lookup_id in used}, now=now, changes=changes)
    return len(used)


def _keep(rows: dict[str, ApiKey | None], *, now: float, changes: int) -> None:
    expires_at = now + settings.API_KEY_CACHE_SECONDS
    with _lock:
        if changes != _changes:
            return
        if len(_entries) + len(rows) > CAPACITY:
            _entries.clear()
        for lookup_id, key in rows.items():
            _entries[lookup_id] = Entry(key, expires_at)
