"""Writes the log's entries, tiles and checkpoint as files: daily into the write-once store, and as bundles."""

import hashlib
import logging
import tempfile
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import Storage
from django.core.files.storage.handler import StorageHandler
from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from audit.exceptions import NothingToExport
from audit.merkle import tile_path, tiles_over
from audit.models import Checkpoint, Export, Leaf
from audit.registers import EXPORTS
from audit.selectors import fetch_tile, get_checkpoint
from audit.services.recording import record
from audit.services.registering import record_row
from audit.storage import WriteOnce
from audit.verification.bundles import Manifest, export_name, write_manifest

logger = logging.getLogger(__name__)
MAX_MEMORY = 1 << 23


def get_export_storage() -> Storage:
    """Return the write-once store."""
    chosen: Storage = StorageHandler({"audit": settings.AUDIT_EXPORT_STORAGE})["audit"]  # type: ignore[dict-item]
    return chosen


def export_log() -> Export:
    """Write what the last checkpoint covers and no export holds yet into the write-once store; record an entry.

    The manifest comes last: an export without one was interrupted, and is written again, to the same bytes.
    Raises NothingToExport.
    """
    checkpoint = get_checkpoint()
    first_seq = Export.objects.aggregate(reached=Max("tree_size", default=0))["reached"]
    if checkpoint.tree_size <= first_seq:
        raise NothingToExport
    previous = get_checkpoint(size=first_seq) if first_seq else None
    name = export_name(checkpoint.created_at, checkpoint.tree_size)
    store = get_export_storage()
    files: dict[str, tuple[str, int]] = {}
    for path, content in export_files(checkpoint, previous):
        with content:
            files[path] = write_once(store, f"{name}/{path}", content)
    manifest = write_manifest(manifest_of(checkpoint, first_seq, files))
    with tempfile.SpooledTemporaryFile(MAX_MEMORY) as file:
        file.write(manifest)
        write_once(store, f"{name}/manifest.json", file)
    with transaction.atomic():
        export, is_new = Export.objects.get_or_create(
            name=name,
            defaults={
                "first_seq": first_seq,
                "tree_size": checkpoint.tree_size,
                "root_hash": bytes(checkpoint.root_hash),
                "manifest_sha256": hashlib.sha256(manifest).digest(),
            },
        )
        if not is_new:
            # Another process wrote the same files meanwhile, and has said so.
            raise NothingToExport
        record_row(EXPORTS, export, target=f"export:{name}")
    return export


def write_bundle(*, path: Path, first_seq: int = 0) -> Manifest:
    """Write the log, from an earlier checkpoint's size on or whole, up to the last checkpoint into one zip file.

    Raises NothingToExport, and NoCheckpoint when no checkpoint is of size `first_seq`.
    """
    checkpoint = get_checkpoint()
    if checkpoint.tree_size <= first_seq:
        raise NothingToExport
    previous = get_checkpoint(size=first_seq) if first_seq else None
    files: dict[str, tuple[str, int]] = {}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as bundle:
        for name, content in export_files(checkpoint, previous):
            with content, bundle.open(name, "w", force_zip64=True) as member:
                hashed, size = hashlib.sha256(), 0
                while block := content.read(1 << 20):
                    hashed.update(block)
                    size += member.write(block)
            files[name] = (hashed.hexdigest(), size)
        manifest = manifest_of(checkpoint, first_seq, files)
        bundle.writestr("manifest.json", write_manifest(manifest))
    with transaction.atomic():
        record(
            action="audit.bundle.written",
            data={"first_seq": first_seq, "tree_size": checkpoint.tree_size, "at": timezone.now()},
        )
    return manifest


def manifest_of(checkpoint: Checkpoint, first_seq: int, files: dict[str, tuple[str, int]]) -> Manifest:
    origin = checkpoint.note.partition("\n")[0]
    return Manifest(origin, first_seq, checkpoint.tree_size, bytes(checkpoint.root_hash), files)


def export_files(checkpoint: Checkpoint, previous: Checkpoint | None) -> Iterator[tuple[str, IO[bytes]]]:
    """Make an export's files, one at a time: checkpoints, entries, and the tiles over them."""
    first_seq = previous.tree_size if previous else 0

    def small(content: bytes) -> IO[bytes]:
        file = tempfile.SpooledTemporaryFile(MAX_MEMORY)  # noqa: SIM115
        file.write(content)
        file.seek(0)
        return file

    yield "checkpoint", small(checkpoint.note.encode())
    if previous:
        yield "checkpoint.previous", small(previous.note.encode())
    entries = tempfile.SpooledTemporaryFile(MAX_MEMORY)  # noqa: SIM115
    bodies = Leaf.objects.filter(seq__gte=first_seq, seq__lt=checkpoint.tree_size).order_by("seq")
    for body in bodies.values_list("body", flat=True).iterator(chunk_size=5000):
        entries.write(body.encode() + b"\n")
    entries.seek(0)
    yield "entries.jsonl", entries
    fetch = partial(fetch_tile, size=checkpoint.tree_size)
    for level, index, width in tiles_over(first_seq, checkpoint.tree_size):
        yield tile_path(level, index, width), small(fetch(level, index))


def write_once(store: Storage, name: str, content: IO[bytes]) -> tuple[str, int]:
    """Write a file into the store; a file that is there already must be the same. Returns SHA-256 and size."""
    content.seek(0)
    digest = hashlib.file_digest(content, "sha256").hexdigest()  # type: ignore[arg-type]
    size = content.tell()
    content.seek(0)
    try:
        store.save(name, File(content, name=name))
    except WriteOnce:
        with store.open(name) as there:
            if hashlib.file_digest(there, "sha256").hexdigest() != digest:
                raise
        logger.info("the export's file was there already: %s", name)
    return digest, size
