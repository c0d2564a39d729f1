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
        canonical_json(data),
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
