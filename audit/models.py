"""Audit entries, the chain and tree over them, and what vouches for both; all of it append-only.

Migration 0002 adds the triggers that refuse UPDATE, DELETE and TRUNCATE; `config`'s `migrate` lets the application's
role add entries, and the sequencer's alone add leaves, tiles and checkpoints.
"""

import os
import time
import uuid
from datetime import UTC, datetime

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Cast
from django.utils import timezone

from audit.registers import REGISTER_ACTIONS


def entry_id() -> uuid.UUID:
    """Make a UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 of their fraction, 62 random ones.

    Entries of one transaction sort in the order in which they were recorded, and inserts touch one index page.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | 0x7 << 76 | (nanoseconds * 4096 // 1_000_000) << 64
    value |= 0b10 << 62 | int.from_bytes(os.urandom(8)) >> 2
    return uuid.UUID(int=value)


class TransactionId(models.Func):
    function = "pg_current_xact_id"
    template = "%(function)s()"
    output_field = models.TextField()


class Entry(models.Model):
    """One change, as its own transaction committed it; the sequencer numbers it later."""

    id = models.UUIDField("ID", primary_key=True, default=entry_id, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    action = models.CharField(max_length=100)
    actor = models.CharField(max_length=200)
    target = models.CharField(max_length=300, blank=True)
    data = models.JSONField(default=dict)
    request_id = models.CharField("request ID", max_length=64, blank=True)
    # What the sequencer finds new entries by. The application's role may not set it: a forged one could hide an entry.
    transaction = models.BigIntegerField(
        db_default=Cast(Cast(TransactionId(), models.TextField()), models.BigIntegerField()), editable=False
    )

    class Meta:
        verbose_name_plural = "entries"
        ordering = ["-id"]
        constraints = [
            # Others are moments that PostgreSQL knows and neither Python nor the canonical form does.
            models.CheckConstraint(
                condition=models.Q(
                    created_at__gte=datetime(1970, 1, 1, tzinfo=UTC), created_at__lt=datetime(9999, 1, 1, tzinfo=UTC)
                ),
                name="audit_entry_created_at_range",
            )
        ]
        indexes = [
            models.Index(fields=["transaction"], name="audit_entry_transaction"),
            models.Index(fields=["actor"], name="audit_entry_actor"),
            models.Index(fields=["target"], name="audit_entry_target"),
            # Rows lie in the order of their time: a block range index is a few pages and costs a writer nothing.
            BrinIndex(fields=["created_at"], name="audit_entry_created_at", pages_per_range=16, autosummarize=True),
            # The few entries that vouch for rows of other tables: the verification must not look for them in all.
            models.Index(fields=["id"], name="audit_entry_registers", condition=models.Q(action__in=REGISTER_ACTIONS)),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target}".strip()


class Leaf(models.Model):
    """An entry's place in the log: its number, the canonical bytes, and their SHA-256 that the next entry names."""

    seq = models.BigIntegerField("number", primary_key=True)
    entry = models.OneToOneField(Entry, on_delete=models.PROTECT, related_name="leaf")
    body = models.TextField()
    entry_hash = models.BinaryField()

    class Meta:
        verbose_name_plural = "leaves"
        constraints = [
            # A leaf outside of the log would hide its entry from the sequencer.
            models.CheckConstraint(condition=models.Q(seq__gte=0), name="audit_leaf_seq")
        ]

    def __str__(self) -> str:
        return str(self.seq)


class Tile(models.Model):
    """A full tile: 256 hashes of one level of the tree (C2SP tlog-tiles), and the root over them."""

    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hashes = models.BinaryField()
    root = models.BinaryField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["level", "index"], name="audit_tile_place")]

    def __str__(self) -> str:
        return f"{self.level}/{self.index}"


class Checkpoint(models.Model):
    """A signed note (C2SP tlog-checkpoint) over the tree of a size."""

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    tree_size = models.BigIntegerField(db_index=True)
    root_hash = models.BinaryField()
    note = models.TextField()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"checkpoint {self.tree_size}"


class Export(models.Model):
    """A day's files in the write-once store."""

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    name = models.CharField(max_length=100, unique=True)
    first_seq = models.BigIntegerField("first number")
    tree_size = models.BigIntegerField()
    root_hash = models.BinaryField()
    manifest_sha256 = models.BinaryField("SHA-256 of the manifest")

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class Anchor(models.Model):
    """A root that was written on chain."""

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    chain_id = models.BigIntegerField("chain ID")
    contract = models.CharField(max_length=42)
    tx_hash = models.BinaryField("transaction hash")
    tree_size = models.BigIntegerField()
    root_hash = models.BinaryField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "contract", "tree_size"], name="audit_anchor_once"),
        ]

    def __str__(self) -> str:
        return f"{self.chain_id}/{self.contract}/{self.tree_size}"


class Verification(models.Model):
    """What one run of the verification found."""

    class Outcome(models.TextChoices):
        WHOLE = "whole"
        TAMPERED = "tampered"
        UNCHECKED = "unchecked", "could not check"

    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(default=timezone.now, editable=False)
    outcome = models.CharField(max_length=10, choices=Outcome)
    tree_size = models.BigIntegerField()
    findings = models.JSONField(default=list)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.outcome} at {self.finished_at:%Y-%m-%d %H:%M}"
