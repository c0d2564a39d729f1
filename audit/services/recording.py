"""Writes entries."""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import orjson
import psycopg
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, TransactionStatus

from audit.canonical import MAX_DATA_BYTES, canonical_json
from audit.context import current
from audit.models import entry_id
from audit.redaction import redact, redact_text

_INTO = "INSERT INTO audit_entry (id, created_at, action, actor, target, data, request_id) VALUES"
INSERT = f"{_INTO} (%s, %s, %s, %s, %s, %s, %s)"
PREPARED = f"{_INTO} ($1, $2, $3, $4, $5, $6, $7)"
STATEMENT = b"audit_entry"
_BINARY = [1] * 7
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def record(*, action: str, actor: str | None = None, target: str = "", data: Mapping[str, Any] | None = None) -> UUID:
    """Write an entry in the caller's transaction and return its id; a rollback leaves none.

    `action` is dotted (`elections.election.cancelled`); `actor` and `target` are `kind:id` (`user:7`,
    `election:31337/0x…/5`, `system:indexer`). Without an actor, the context's is taken. Secrets in `data` are
    dropped and personal data digested (`audit.redaction`); data of more than 48,000 bytes is replaced by its digest.
    On commit, the entry's id joins the context's receipts.
    """
    pepper = settings.AUDIT_PEPPER.encode()
    context = current.get()
    clean = redact(data, pepper=pepper) if data else {}
    serialised = orjson.dumps(clean)
    if len(serialised) > MAX_DATA_BYTES:
        digest = hashlib.sha256(canonical_json(clean)).hexdigest()
        serialised = orjson.dumps({"omitted": {"bytes": len(serialised), "sha256": digest}})
    id_ = entry_id()
    insert(
        id_,
        timezone.now(),
        action[:100],
        redact_text(actor or (context.actor if context else "system"), pepper=pepper)[:200],
        redact_text(target, pepper=pepper)[:300],
        serialised,
        ((context.request_id if context else None) or "")[:64],
    )
    if context:
        transaction.on_commit(partial(context.receipts.append, str(id_)))
    return id_


def insert(id_: UUID, created_at: datetime, action: str, actor: str, target: str, data: bytes, request_id: str) -> None:
    """Insert an entry in Django's transaction, by libpq itself and a statement that the server has parsed before.

    Every change pays for this. Django's cursors write values into the text, so that the server parses and plans it each
    time; psycopg's prepare it, but run twice as much Python, little of which is in the processor's cache when a server
    does something else in between. While queries are logged (tests, DEBUG), Django's is taken: it can show its text.
    """
    if connection.queries_logged:
        with connection.cursor() as cursor:
            cursor.execute(INSERT, [id_, created_at, action, actor, target, data.decode(), request_id])
        return
    # As its cursor does: a connection that works, and no transaction that will be rolled back whatever follows.
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors:
        insert_prepared(
            connection.connection,
            id_.bytes,
            ((created_at - _POSTGRES_EPOCH) // _MICROSECOND).to_bytes(8, signed=True),
            action.encode(),
            actor.encode(),
            target.encode(),
            b"\x01" + data,
            request_id.encode(),
        )


def insert_prepared(raw: Any, *values: bytes) -> None:
    """Run the prepared statement on a psycopg connection, with values in PostgreSQL's binary format: no parsing."""
    pgconn = raw.pgconn
    if not raw.autocommit and pgconn.transaction_status == TransactionStatus.IDLE:
        # As psycopg does before its first statement; our settings name no isolation level that belonged here.
        check(pgconn, pgconn.exec_(b"BEGIN"))
    if not hasattr(raw, "has_audit_statement"):
        check(pgconn, pgconn.prepare(STATEMENT, PREPARED.encode()))
        raw.has_audit_statement = True
    check(pgconn, pgconn.exec_prepared(STATEMENT, values, param_formats=_BINARY))


def check(pgconn: psycopg.pq.abc.PGconn, result: psycopg.pq.abc.PGresult) -> None:
    if result.status != ExecStatus.COMMAND_OK:
        if pgconn.status == ConnStatus.BAD:
            raise psycopg.OperationalError(pgconn.get_error_message())
        raise error_from_result(result)
