"""The canonical bytes of an entry (RFC 8785): what is hashed, exported and proven. `docs/audit-log.md` is their text.

Pure: the offline verifier imports it without Django.
"""

import hashlib
import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import rfc8785

VERSION = 1
GENESIS = bytes(32)  # what the first entry names as the hash before it
# tlog-tiles' bundles prefix an entry with 16 bits of length; the envelope around `data` needs some of them.
MAX_DATA_BYTES = 48_000
SHALLOW = 200  # levels of nesting that every serialiser takes
FIELDS = (
    "action", "actor", "data", "id", "previous", "request_id", "seq", "target", "time", "transaction", "v",
)  # fmt: skip

ENVELOPE = (
    b'{"action":%b,"actor":%b,"data":%b,"id":"%b","previous":"%b","request_id":%b,'
    b'"seq":%d,"target":%b,"time":"%b","transaction":%d,"v":1}'
)

_MAY_DIFFER = re.compile(rb"(?:^|[:,\[])-?[0-9]+[.e]|[\xee-\xf4]")


def canonical_json(value: Any) -> bytes:
    """Serialise by RFC 8785.

    orjson's output with sorted keys is the same bytes, 50 times faster, unless there are floats (their digits) or
    characters past U+DFFF (the order of keys); then the slower serialiser decides.
    """
    fast = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return rfc8785.dumps(value) if _MAY_DIFFER.search(fast) else fast


def load_data(text: bytes) -> Any:
    """Parse an entry's `data` as the database prints it; what no parser takes (too deep, 1e999) becomes its digest.

    `record` writes nothing of the kind; a row that somebody else wrote must not stop the log.
    """
    try:
        value = orjson.loads(text)
        if text.count(b"[") + text.count(b"{") > SHALLOW:
            orjson.dumps(value)  # it parses what is too deep for it to write
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return _unreadable(text)
    return value


def canonical_data(value: Any) -> bytes:
    """Serialise an entry's `data`; what RFC 8785 has no form for (integers past 2^53) becomes its digest."""
    try:
        return canonical_json(value)
    except rfc8785.CanonicalizationError:
        return canonical_json(_unreadable(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)))


def _unreadable(text: bytes) -> dict[str, Any]:
    return {"unreadable": {"bytes": len(text), "sha256": hashlib.sha256(text).hexdigest()}}


def canonical_time(moment: datetime) -> str:
    """Write a moment in UTC with exactly six digits of the second's fraction."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def entry_bytes(
    *,
    seq: int,
    previous: bytes,
    id: UUID,  # noqa: A002
    created_at: datetime,
    action: str,
    actor: str,
    target: str,
    data: Any,
    request_id: str,
    transaction: int,
) -> bytes:
    """Compose the canonical bytes of a numbered entry."""
    text = orjson.dumps
    return ENVELOPE % (
        text(action),
        text(actor),
        canonical_data(data),
        str(id).encode(),
        previous.hex().encode(),
        text(request_id),
        seq,
        text(target),
        canonical_time(created_at).encode(),
        transaction,
    )


def entry_hash(body: bytes) -> bytes:
    """Hash an entry's canonical bytes: the link of the chain and the record of the tree."""
    return hashlib.sha256(body).digest()
