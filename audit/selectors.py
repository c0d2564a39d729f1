"""Reads of the log: for its public endpoints, staff, exports and metrics."""

import base64
import struct
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from django.db.models import Q, QuerySet
from django.utils import timezone

from audit.exceptions import NoCheckpoint, NotYetInLog, UnknownEntry, UnknownTile
from audit.merkle import TILE_WIDTH, inclusion_proof, leaf_hash, tile_reader, tile_width
from audit.models import Checkpoint, Entry, Leaf, Tile, Verification
from audit.note import SigningKey, VerifierKey
from audit.registers import Register

MAX_SEQ = 2**63 - 1


def get_conninfo() -> str:
    """Return the default database's address, for a connection of its own outside of Django's pool."""
    parameters = connection.get_connection_params()
    names = ("dbname", "user", "password", "host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey", "options")
    return psycopg.conninfo.make_conninfo(**{name: parameters[name] for name in names if parameters.get(name)})


def get_verifier_keys() -> list[VerifierKey]:
    """Return the log's public keys: the signing key's, if it is here, and the configured ones."""
    own = [SigningKey.parse(settings.AUDIT_SIGNING_KEY).verifier()] if settings.AUDIT_SIGNING_KEY else []
    return own + [VerifierKey.parse(text) for text in settings.AUDIT_VERIFIER_KEYS]


def name_people(actors: Iterable[str]) -> dict[str, str]:
    """Map each actor that is a person with an e-mail to that e-mail, in one query."""
    ids = {actor.removeprefix("user:") for actor in actors if actor.startswith("user:")}
    known = get_user_model().objects.filter(pk__in=[found for found in ids if is_uuid(found)]).exclude(email=None)
    return {f"user:{pk}": str(email) for pk, email in known.values_list("pk", "email")} if ids else {}


def is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def get_checkpoint(*, size: int | None = None) -> Checkpoint:
    """Return the last signed checkpoint, or the one of a size; raise NoCheckpoint."""
    checkpoints = Checkpoint.objects.order_by("-id")
    if size is not None:
        checkpoints = checkpoints.filter(tree_size=size) if 0 < size <= MAX_SEQ else checkpoints.none()
    checkpoint = checkpoints.first()
    if checkpoint is None:
        raise NoCheckpoint
    return checkpoint


def fetch_tile(level: int, index: int, *, size: int) -> bytes:
    """Return the hashes of a tile of the tree of a size."""
    width = tile_width(level, index, size)
    full = Tile.objects.filter(level=level, index=index).values_list("hashes", flat=True).first()
    if full is not None:
        return bytes(full)[: 32 * width]
    start = index * TILE_WIDTH
    if level == 0:
        leaves = Leaf.objects.filter(seq__range=(start, start + width - 1)).order_by("seq")
        return b"".join(leaf_hash(bytes(hashed)) for hashed in leaves.values_list("entry_hash", flat=True))
    below = Tile.objects.filter(level=level - 1, index__range=(start, start + width - 1)).order_by("index")
    return b"".join(bytes(root) for root in below.values_list("root", flat=True))


def get_tile(*, level: int, index: int, width: int) -> bytes:
    """Return a tile, full or cut to a width, of the signed tree; raise UnknownTile."""
    size = get_checkpoint().tree_size
    if not 0 <= level <= 7 or tile_width(level, index, size) < width:
        raise UnknownTile
    return fetch_tile(level, index, size=size)[: 32 * width]


def get_entries_bundle(*, index: int, width: int) -> bytes:
    """Return the records of a level-0 tile's leaves: each entry's 32-byte hash behind 16 bits of length."""
    if tile_width(0, index, get_checkpoint().tree_size) < width:
        raise UnknownTile
    start = index * TILE_WIDTH
    hashes = Leaf.objects.filter(seq__range=(start, start + width - 1)).order_by("seq").values_list("entry_hash")
    return b"".join(struct.pack(">H", len(hashed)) + bytes(hashed) for (hashed,) in hashes)


def get_proof(*, seq: int | None = None, entry_id: UUID | None = None, size: int | None = None) -> str:
    """Return an entry's inclusion proof (C2SP tlog-proof) against the last checkpoint, or the one of a size.

    Asked by id, which only the one who made the change was told, the proof carries the entry's canonical bytes as
    `extra`. Raises UnknownEntry, NotYetInLog, NoCheckpoint.
    """
    extra = ""
    if entry_id is not None:
        leaf = Leaf.objects.filter(entry_id=entry_id).first()
        if leaf is None:
            raise NotYetInLog if Entry.objects.filter(pk=entry_id).exists() else UnknownEntry
        seq, extra = leaf.seq, f"extra {base64.b64encode(leaf.body.encode()).decode()}\n"
    assert seq is not None
    checkpoint = get_checkpoint(size=size)
    if seq >= checkpoint.tree_size:
        is_there = seq <= MAX_SEQ and Leaf.objects.filter(seq=seq).exists()
        raise NotYetInLog if is_there else UnknownEntry
    read = tile_reader(partial(fetch_tile, size=checkpoint.tree_size))
    path = inclusion_proof(seq, checkpoint.tree_size, read)
    hashes = "".join(f"{base64.b64encode(hashed).decode()}\n" for hashed in path)
    return f"c2sp.org/tlog-proof@v1\n{extra}index {seq}\n{hashes}\n{checkpoint.note}"


def list_entries(*, filters: Mapping[str, Any]) -> QuerySet[Entry]:
    """List entries with their leaves, newest first.

    Filters: `action` (itself, or a prefix before a dot), `actor`, `target`, `request_id`, `id`, `since`, `until`,
    `search` (a part of the action, actor or target).
    """
    entries = Entry.objects.select_related("leaf").order_by("-id")
    for name in ("actor", "target", "request_id", "id"):
        if value := filters.get(name):
            entries = entries.filter(**{name: value})
    if action := filters.get("action"):
        entries = entries.filter(Q(action=action) | Q(action__startswith=f"{action}."))
    if since := filters.get("since"):
        entries = entries.filter(created_at__gte=since)
    if until := filters.get("until"):
        entries = entries.filter(created_at__lt=until)
    if (seq := filters.get("seq")) is not None:
        entries = entries.filter(leaf__seq=seq)
    if search := filters.get("search"):
        words = (
            Q(action__icontains=word) | Q(actor__icontains=word) | Q(target__icontains=word) for word in search.split()
        )
        for word in words:
            entries = entries.filter(word)
    return entries


def get_voucher(register: Register, pk: int) -> Entry | None:
    """Return the entry that vouches for a row of an export, an anchor or a verification."""
    vouchers = Entry.objects.filter(action=register.action, data__id=pk)
    return vouchers.select_related("leaf").order_by("id").first()


def get_last_verification() -> Verification | None:
    """Return the last run of the verification."""
    return Verification.objects.order_by("-id").first()


def get_log_state() -> dict[str, Any]:
    """Return the log's size, its unsequenced entries, and the times of the last checkpoint and verification."""
    end = Leaf.objects.order_by("-seq").first()
    checkpoint = Checkpoint.objects.order_by("-id").first()
    verification = get_last_verification()
    waiting = Entry.objects.filter(leaf=None, created_at__gt=timezone.now() - timedelta(days=1))
    oldest: datetime | None = waiting.order_by("id").values_list("created_at", flat=True).first()
    return {
        "size": end.seq + 1 if end else 0,
        "unsequenced": waiting.count(),
        "oldest_unsequenced_at": oldest,
        "checkpoint_size": checkpoint.tree_size if checkpoint else 0,
        "checkpoint_at": checkpoint.created_at if checkpoint else None,
        "verified_at": verification.finished_at if verification else None,
        "verification": verification.outcome if verification else None,
    }
