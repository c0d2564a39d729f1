"""Stores what elections are about, under its hash."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from accounts.models import User
from accounts.services import actor_of
from audit.services import record
from elections.events import Change, Changes
from elections.exceptions import MetadataMismatch, MetadataNotReferenced
from elections.metadata import hash_document
from elections.models import Election, Metadata
from elections.selectors import is_metadata_referenced
from elections.services.folding import next_revision
from elections.services.publishing import publish_changes


@transaction.atomic
def store_metadata(*, document: Mapping[str, Any], actor: str | None = None) -> bytes:
    """Store a document (title, description, options) under its hash, and return the hash; idempotent."""
    key = hash_document(document)
    _, is_new = Metadata.objects.get_or_create(hash=key, defaults={"document": document})
    if is_new:
        record(action="elections.metadata.stored", actor=actor, target=f"metadata:0x{key.hex()}")
        rows = Election.objects.filter(metadata_hash=key)
        named = list(rows.values_list("public_id", flat=True))
        if named:
            rows.update(revision=next_revision())
            changes = Changes(tuple(Change(public_id, frozenset({"metadata"})) for public_id in named))
            transaction.on_commit(lambda: publish_changes(changes))
    return key


@transaction.atomic
def bring_metadata(*, user: User, metadata_hash: bytes, document: Mapping[str, Any]) -> None:
    """Store the document that an election on chain names by its hash; administrators may store any.

    Raises MetadataMismatch when it has another hash, MetadataNotReferenced when no election names it.
    """
    if hash_document(document) != metadata_hash:
        raise MetadataMismatch
    if not user.is_admin and not is_metadata_referenced(metadata_hash=metadata_hash):
        raise MetadataNotReferenced
    store_metadata(document=document, actor=actor_of(user))
