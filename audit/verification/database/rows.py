"""Reads entries and their leaves as bytes, and says of one that differs in which fields."""

import hashlib
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.types.string import ByteaBinaryLoader

from audit.canonical import canonical_json, entry_bytes, load_data

LEAVES = """
SELECT seq::text, entry_id::text, encode(entry_hash, 'hex'), body
FROM audit_leaf AS leaf WHERE leaf.seq >= %s AND leaf.seq < %s ORDER BY leaf.seq
"""
ENTRIES_IN_SPAN = """
SELECT id::text, created_at::text, action, actor, target, data::text, request_id, transaction::text
FROM audit_entry WHERE id >= %s::uuid AND id <= %s::uuid
"""
ENTRIES_LISTED = """
SELECT id::text, created_at::text, action, actor, target, data::text, request_id, transaction::text
FROM audit_entry WHERE id = ANY(%s::uuid[])
"""
Row = tuple[bytes, ...]
_sha256 = hashlib.sha256


def canonical_time_of(text: bytes) -> bytes:
    """Turn PostgreSQL's `2026-01-02 03:04:05.6+00` into the canonical `2026-01-02T03:04:05.600000Z`."""
    if len(text) == 29:
        return text[:10] + b"T" + text[11:26] + b"Z"
    moment, _, fraction = text.removesuffix(b"+00").partition(b".")
    return moment.replace(b" ", b"T") + b"." + fraction.ljust(6, b"0") + b"Z"


def read_rows(connection: psycopg.Connection, query: str, parameters: list[Any]) -> list[Row]:
    """Read rows of texts as their bytes, in one result: no decoding, no conversion, no loop of ours for a row."""
    with connection.cursor(binary=True) as cursor:
        for kind in ("text", "varchar"):
            cursor.adapters.register_loader(kind, ByteaBinaryLoader)
        return cursor.execute(query, parameters).fetchall()


def read_entries(connection: psycopg.Connection, ids: list[bytes]) -> dict[bytes, Row]:
    """Read the rows of a chunk's entries: most by the span of their ids, stragglers one by one."""
    ordered = sorted(ids)
    # A transaction that ran for long puts an old id among new ones: it must not stretch the span.
    trim = len(ordered) // 50
    # Anything but a UUIDv7 does not sort by time and would stretch it over the whole table.
    span = [id_ for id_ in ordered[trim : len(ordered) - trim] if id_[14:15] == b"7"]
    found: dict[bytes, Row] = {}
    if span:
        rows = read_rows(connection, ENTRIES_IN_SPAN, [span[0].decode(), span[-1].decode()])
        found = {row[0]: row for row in rows}
    if rest := [id_.decode() for id_ in ids if id_ not in found]:
        found |= {row[0]: row for row in read_rows(connection, ENTRIES_LISTED, [rest])}
    return found


def previous_of(body: bytes) -> str | None:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    previous = content.get("previous") if isinstance(content, dict) else None
    return previous if isinstance(previous, str) else None


def check_closely(
    *, seq: int, id_: bytes, hash_hex: bytes, body: bytes, row: Row | None, previous: bytes
) -> tuple[bytes, list[str]]:
    """Look at one entry field by field; return the hash that the chain goes on with and what is wrong.

    `previous` is empty where this is not known: at a chunk's start, whose link is checked when chunks are joined.
    """
    problems: list[str] = []
    stored = bytes.fromhex(hash_hex.decode())
    in_body = _sha256(body).digest()
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        return stored, ["its canonical bytes (body) are not JSON"]
    linked = previous.decode() or str(content.get("previous"))
    table = _row_fields(row, id_)
    in_row = None
    if table is None:
        problems.append("its row in audit_entry is gone")
    else:
        try:
            in_row = _sha256(entry_bytes(seq=seq, previous=bytes.fromhex(linked), **table)).digest()
        except ValueError:
            in_row = None
    if in_body == stored == in_row:
        return stored, problems
    if in_row == stored:
        return stored, ["its canonical bytes (body) were changed; its row and its hash were not"]
    if in_body == stored:
        # The bytes are the logged ones: they tell which of the others changed.
        if content.get("seq") != seq:
            problems.append(f"seq: stands at {seq}, was logged as {content.get('seq')}")
        if content.get("previous") != linked:
            problems.append("previous: does not name the hash of the entry before it")
        if table is not None:
            problems += _differing_fields(content, table)
        if canonical_json(content) != body:
            problems.append("its canonical bytes (body) are not canonical")
        return stored, problems
    if in_row is not None and in_row == in_body:
        return in_body, ["entry_hash: is not the SHA-256 of its canonical bytes"]
    fields = ", ".join(name.partition(":")[0] for name in _differing_fields(content, table or {})) if table else ""
    problems.append(
        "neither its row nor its canonical bytes have its hash (entry_hash)"
        + (f"; they differ in {fields}" if fields else "")
    )
    return in_body, problems


def _row_fields(row: Row | None, id_: bytes) -> dict[str, Any] | None:
    if row is None:
        return None
    _, created_at, action, actor, target, data, request_id, transaction = row
    return {
        "id": UUID(id_.decode()),
        "created_at": datetime.fromisoformat(canonical_time_of(created_at).decode()),
        "action": action.decode(),
        "actor": actor.decode(),
        "target": target.decode(),
        "data": load_data(data),
        "request_id": request_id.decode(),
        "transaction": int(transaction),
    }


def _differing_fields(content: dict[str, Any], table: dict[str, Any]) -> list[str]:
    """Name the fields in which an entry's row and its logged bytes differ, with both values, shortened."""
    differing = []
    for name, column in (
        ("id", "id"), ("time", "created_at"), ("action", "action"), ("actor", "actor"), ("target", "target"),
        ("data", "data"), ("request_id", "request_id"), ("transaction", "transaction"),
    ):  # fmt: skip
        here = table[column]
        if column == "id":
            here = str(here)
        elif column == "created_at":
            here = here.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if here != content.get(name):
            differing.append(f"{column}: is {_short(here)}, was logged as {_short(content.get(name))}")
    return differing


def differing_fields(here: bytes, there: bytes) -> str:
    """Name the fields in which two canonical bodies differ."""
    try:
        first, second = orjson.loads(here), orjson.loads(there)
        names = [name for name in sorted({*first, *second}) if first.get(name) != second.get(name)]
    except (orjson.JSONDecodeError, TypeError, AttributeError):
        return "one of them is not a JSON object"
    return ", ".join(names) or "their bytes"


def _short(value: Any) -> str:
    text = canonical_json(value).decode()
    return text if len(text) <= 80 else f"{text[:79]}…"
