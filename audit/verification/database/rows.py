"""Reads entries and their leaves as bytes, and says of one that differs in which fields."""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import orjson
import psycopg
from psycopg.types.numeric import Int8BinaryLoader
from psycopg.types.string import ByteaBinaryLoader

from audit.canonical import canonical_data, canonical_json, canonical_time, entry_bytes, load_data

LEAVES = "SELECT seq, entry_id, entry_hash, body FROM audit_leaf WHERE seq >= %s AND seq < %s ORDER BY seq"
ENTRIES = "SELECT id, id::text, created_at, action, actor, target, data, request_id, transaction FROM audit_entry"
ENTRIES_IN_SPAN = f"{ENTRIES} WHERE id >= %b AND id <= %b"
ENTRIES_LISTED = f"{ENTRIES} WHERE id = ANY(%b)"
# seq, the entry's id as 16 bytes, entry_hash, body
LeafRow = tuple[int, bytes, bytes, bytes]
# id as 16 bytes and as text, microseconds since 2000, action, actor, target, jsonb's format, request_id, transaction
EntryRow = tuple[bytes, bytes, int, bytes, bytes, bytes, bytes, bytes, int]
SHOWN_CHARACTERS = 100  # a digest is shown whole
JSONB_VERSION = b"\x01"  # what jsonb's binary format begins with; its text follows
_POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_sha256 = hashlib.sha256


def connect(conninfo: str) -> psycopg.Connection:
    """Connect so that rows come in PostgreSQL's binary format and as plain bytes and integers.

    No value is turned into text by the server and parsed here, and no loop of ours runs for a row.
    """
    connection = psycopg.connect(conninfo, autocommit=True)
    for kind in ("text", "varchar", "uuid", "jsonb"):
        connection.adapters.register_loader(kind, ByteaBinaryLoader)
    connection.adapters.register_loader("timestamptz", Int8BinaryLoader)
    connection.execute("SET max_parallel_workers_per_gather = 0")
    return connection


def read_leaves(connection: psycopg.Connection, start: int, end: int) -> list[LeafRow]:
    with connection.cursor(binary=True) as cursor:
        return cursor.execute(LEAVES, [start, end]).fetchall()


def read_entries(connection: psycopg.Connection, ids: list[bytes]) -> dict[bytes, EntryRow]:
    """Read the rows of a chunk's entries: most by the span of their ids, stragglers one by one."""
    ordered = sorted(ids)
    # A transaction that ran for long puts an old id among new ones: it must not stretch the span.
    trim = len(ordered) // 50
    # Anything but a UUIDv7 does not sort by time and would stretch it over the whole table.
    span = [id_ for id_ in ordered[trim : len(ordered) - trim] if id_[6] >> 4 == 7]
    found: dict[bytes, EntryRow] = {}
    with connection.cursor(binary=True) as cursor:
        if span:
            cursor.execute(ENTRIES_IN_SPAN, [UUID(bytes=span[0]), UUID(bytes=span[-1])])
            found = {row[0]: row for row in cursor.fetchall()}
        if rest := [UUID(bytes=id_) for id_ in ids if id_ not in found]:
            cursor.execute(ENTRIES_LISTED, [rest])
            found |= {row[0]: row for row in cursor.fetchall()}
    return found


@lru_cache(maxsize=4096)
def minute_of(minutes: int) -> bytes:
    """Write the minute so many after 2000 as `2026-01-02T03:04:`; raise OverflowError past Python's calendar."""
    return (_POSTGRES_EPOCH + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:").encode()


def previous_of(body: bytes) -> bytes | None:
    """Return the hash that an entry's bytes name as the one before it."""
    try:
        content = orjson.loads(body)
        return bytes.fromhex(content["previous"])
    except (ValueError, TypeError, KeyError):
        return None


def check_closely(
    *, seq: int, stored: bytes, body: bytes, row: EntryRow | None, previous: bytes | None
) -> tuple[bytes, list[str]]:
    """Look at one entry field by field; return the hash that the chain goes on with and what is wrong.

    `previous` is None where this is not known: at a chunk's start, whose link is checked when chunks are joined.
    """
    problems: list[str] = []
    in_body = _sha256(body).digest()
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        return stored, ["its canonical bytes (body) are not JSON"]
    linked = previous or previous_of(body) or b""
    fields = None
    in_row = None
    if row is None:
        problems.append("its row in audit_entry is gone")
    else:
        fields = _fields_of(row)
        if isinstance(fields["created_at"], datetime):
            in_row = _sha256(entry_bytes(seq=seq, previous=linked, **fields)).digest()
    if in_body == stored == in_row:
        return stored, problems
    if in_row == stored:
        return stored, ["its canonical bytes (body) were changed; its row and its hash were not"]
    if in_body == stored:
        # The bytes are the logged ones: they tell which of the others changed.
        if content.get("seq") != seq:
            problems.append(f"seq: stands at {seq}, was logged as {content.get('seq')}")
        if content.get("previous") != linked.hex():
            problems.append("previous: does not name the hash of the entry before it")
        if fields is not None:
            problems += _differing_columns(content, fields)
        if canonical_json(content) != body:
            problems.append("its canonical bytes (body) are not canonical")
        return stored, problems or ["its canonical bytes (body) are not those of its row"]
    if in_row is not None and in_row == in_body:
        return in_body, ["entry_hash: is not the SHA-256 of its canonical bytes"]
    names = ", ".join(name.partition(":")[0] for name in _differing_columns(content, fields)) if fields else ""
    problems.append(
        "neither its row nor its canonical bytes have its hash (entry_hash)"
        + (f"; they differ in {names}" if names else "")
    )
    return in_body, problems


def _fields_of(row: EntryRow) -> dict[str, Any]:
    id_, _, created_at, action, actor, target, data, request_id, transaction = row
    try:
        moment: datetime | str = _POSTGRES_EPOCH + timedelta(microseconds=created_at)
    except OverflowError:
        moment = f"{created_at} microseconds after 2000-01-01"
    return {
        "id": UUID(bytes=id_),
        "created_at": moment,
        "action": action.decode(),
        "actor": actor.decode(),
        "target": target.decode(),
        "data": load_data(data.removeprefix(JSONB_VERSION)),
        "request_id": request_id.decode(),
        "transaction": transaction,
    }


def _differing_columns(content: dict[str, Any], fields: dict[str, Any]) -> list[str]:
    """Name the columns in which an entry's row and its logged bytes differ, with both values, shortened."""
    differing = []
    for column, here in fields.items():
        there = content.get("time" if column == "created_at" else column)
        if isinstance(here, UUID):
            here = str(here)
        elif isinstance(here, datetime):
            here = canonical_time(here)
        # Their bytes, as Python holds 1 and true for the same.
        if canonical_data(here) != canonical_data(there):
            differing.append(f"{column}: is {shortened(here)}, was logged as {shortened(there)}")
    return differing


def differing_fields(here: bytes, there: bytes) -> str:
    """Name the fields in which two canonical bodies differ."""
    try:
        first, second = orjson.loads(here), orjson.loads(there)
        names = [name for name in sorted({*first, *second}) if first.get(name) != second.get(name)]
    except (orjson.JSONDecodeError, TypeError, AttributeError):
        return "one of them is not a JSON object"
    return ", ".join(names) or "their bytes"


def shortened(value: Any) -> str:
    text = canonical_data(value).decode()
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[: SHOWN_CHARACTERS - 1]}…"
