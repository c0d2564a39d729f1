"""Writes entries."""

import hashlib
from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson
import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from audit.canonical import MAX_DATA_BYTES, canonical_json
from audit.context import current
from audit.models import Entry, entry_id
from audit.redaction import redact, redact_text

# Plain SQL, prepared by the server: through the ORM an insert costs a writer four times as much. The values are sent as
# text, which PostgreSQL reads as the columns' types: psycopg's adapters would cost a quarter more.
INSERT = """
INSERT INTO audit_entry (id, created_at, action, actor, target, data, request_id)
VALUES (%s, %s, %s, %s, %s, %s, %s)
"""


def record(*, action: str, actor: str | None = None, target: str = "", data: Mapping[str, Any] | None = None) -> Entry:
    """Write an entry in the caller's transaction; a rollback leaves none.

    `action` is dotted (`elections.election.cancelled`); `actor` and `target` are `kind:id` (`user:7`,
    `election:31337/0x…/5`, `system:indexer`). Without an actor, the context's is taken. Secrets in `data` are
    dropped and personal data digested (`audit.redaction`); data of more than 48,000 bytes is replaced by its digest.
    On commit, the entry's id joins the context's receipts.
    """
    pepper = settings.AUDIT_PEPPER.encode()
    context = current.get()
    clean = redact(data or {}, pepper=pepper)
    serialised = orjson.dumps(clean)
    if len(serialised) > MAX_DATA_BYTES:
        clean = {"omitted": {"bytes": len(serialised), "sha256": hashlib.sha256(canonical_json(clean)).hexdigest()}}
        serialised = orjson.dumps(clean)
    entry = Entry(
        id=entry_id(),
        created_at=timezone.now(),
        action=action[:100],
        actor=redact_text(actor or (context.actor if context else "system"), pepper=pepper)[:200],
        target=redact_text(target, pepper=pepper)[:300],
        data=clean,
        request_id=((context.request_id if context else None) or "")[:64],
    )
    insert(
        str(entry.pk),
        entry.created_at.isoformat(),
        entry.action,
        entry.actor,
        entry.target,
        serialised.decode(),
        entry.request_id,
    )
    entry._state.adding = False
    if context:
        transaction.on_commit(partial(context.receipts.append, str(entry.pk)))
    return entry


def insert(*values: str) -> None:
    """Run INSERT in Django's transaction, by a cursor that binds on the server.

    Django's own cursors write values into the text, so that the server parses and plans it each time; under
    `prepare_threshold` this one is parsed and planned once a connection. While queries are logged (tests, DEBUG),
    Django's is taken: it can show its text.
    """
    if connection.queries_logged:
        with connection.cursor() as logging_cursor:
            logging_cursor.execute(INSERT, values)
        return
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    with connection.wrap_database_errors:
        cursor_of(connection.connection).execute(INSERT, values)


def cursor_of(raw: Any) -> psycopg.Cursor:
    """Return the connection's cursor for entries, made once."""
    cursor: psycopg.Cursor | None = getattr(raw, "audit_cursor", None)
    if cursor is None:
        cursor = raw.audit_cursor = psycopg.Cursor(raw)
    return cursor
