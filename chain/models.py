"""What is kept of a chain: blocks, logs, coverage, the checkpoint, and what did not decode."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone


class Contract(models.Model):
    """An indexed contract: its address, and the profile that decides how its logs are read."""

    chain_id = models.BigIntegerField("chain ID")
    # 0x and lower case.
    address = models.CharField(max_length=42)
    profile = models.CharField(max_length=40)
    deployment_block = models.BigIntegerField()
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["chain_id", "address"], name="chain_contract_once")]

    def __str__(self) -> str:
        return f"{self.profile}@{self.address}"


class Checkpoint(models.Model):
    """How far one chain is indexed, and by whom; every write moves `nonce` by compare-and-set."""

    chain_id = models.BigIntegerField("chain ID", primary_key=True)
    nonce = models.BigIntegerField(default=0)
    block_number = models.BigIntegerField()
    block_hash = models.BinaryField(max_length=32)
    block_timestamp = models.BigIntegerField("block time", default=0)
    safe_block = models.BigIntegerField(default=0)
    finalized_block = models.BigIntegerField(default=0)
    # The highest head that an endpoint showed, for lag and readiness.
    node_head = models.BigIntegerField("node's head", default=0)
    seen_at = models.DateTimeField("node last seen at", null=True, help_text="When a node last answered the indexer")
    updated_at = models.DateTimeField(default=timezone.now)
    writer = models.CharField(max_length=64, blank=True, default="")
    lease_expires_at = models.DateTimeField(null=True)
    halted_at = models.DateTimeField(null=True)
    halt_code = models.CharField(max_length=40, blank=True, default="")
    halt_reason = models.TextField(blank=True, default="")
    reconciled_at = models.DateTimeField("last recounted at", null=True)
    reconcile_differences = models.IntegerField(
        "differences at the last recount", null=True, help_text="Elections that differed from a recount"
    )

    class Meta:
        verbose_name = "indexer's checkpoint"

    def __str__(self) -> str:
        return f"chain {self.chain_id} at {self.block_number}"


class BlockQuerySet(models.QuerySet["Block"]):
    def canonical(self) -> "BlockQuerySet":
        """Leave out blocks that a reorg took back."""
        return self.filter(retracted_at=None)


class Block(models.Model):
    """A block header: each of the unfinalized window, and each that holds logs of ours."""

    pk = models.CompositePrimaryKey("chain_id", "number", "hash")
    chain_id = models.BigIntegerField("chain ID")
    number = models.BigIntegerField()
    hash = models.BinaryField(max_length=32)
    parent_hash = models.BinaryField(max_length=32)
    timestamp = models.BigIntegerField(help_text="Unix seconds")
    retracted_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = BlockQuerySet.as_manager()

    class Meta:
        constraints = [
            # Two canonical blocks of one height cannot be.
            models.UniqueConstraint(
                fields=["chain_id", "number"], condition=Q(retracted_at=None), name="chain_block_canonical_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number} 0x{bytes(self.hash).hex()[:8]}…"


class EventLogQuerySet(models.QuerySet["EventLog"]):
    def canonical(self) -> "EventLogQuerySet":
        """Leave out logs that a reorg took back."""
        return self.filter(retracted_at=None)


class EventLog(models.Model):
    """One log as the node gave it; immutable but for its retraction.

    The key has the block's hash: after a reorg the same log may stand in another block. Rows are written by COPY
    (`chain.services.writing`).
    """

    pk = models.CompositePrimaryKey("contract_id", "block_number", "block_hash", "log_index")
    contract = models.ForeignKey(Contract, on_delete=models.PROTECT, db_index=False)
    block_number = models.BigIntegerField()
    block_hash = models.BinaryField(max_length=32)
    log_index = models.IntegerField()
    tx_hash = models.BinaryField("transaction hash", max_length=32)
    tx_index = models.IntegerField("transaction index")
    topics = models.BinaryField(help_text="32 bytes each, joined")
    data = models.BinaryField()
    event = models.CharField(max_length=60)
    election_id = models.DecimalField("election's ID on the contract", max_digits=78, decimal_places=0, null=True)
    context = models.JSONField(null=True, help_text="What was read from the contract's state beside the log")
    retracted_at = models.DateTimeField(null=True)

    objects: ClassVar[Any] = EventLogQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["contract", "election_id", "block_number"], name="chain_log_election")]

    def __str__(self) -> str:
        return f"{self.event} {self.block_number}/{self.log_index}"


class Coverage(models.Model):
    """An unbroken range of blocks whose logs of one contract are all here; ranges never touch or overlap."""

    contract = models.ForeignKey(Contract, on_delete=models.CASCADE)
    from_block = models.BigIntegerField()
    to_block = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["contract", "from_block"], name="chain_coverage_once"),
            models.CheckConstraint(condition=Q(to_block__gte=models.F("from_block")), name="chain_coverage_forward"),
        ]
        verbose_name = "covered range"

    def __str__(self) -> str:
        return f"{self.contract_id}: {self.from_block}–{self.to_block}"


class DeadLetter(models.Model):
    """A log that did not decode, with its bytes and the reason; it can be replayed once an ABI knows it."""

    contract = models.ForeignKey(Contract, on_delete=models.PROTECT)
    block_number = models.BigIntegerField()
    block_hash = models.BinaryField(max_length=32)
    log_index = models.IntegerField()
    tx_hash = models.BinaryField("transaction hash", max_length=32)
    tx_index = models.IntegerField("transaction index")
    topics = models.BinaryField()
    data = models.BinaryField()
    reason = models.CharField(max_length=300)
    created_at = models.DateTimeField(default=timezone.now)
    replayed_at = models.DateTimeField(null=True)
    retracted_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["contract", "block_hash", "log_index"], name="chain_dead_letter_once")
        ]

    def __str__(self) -> str:
        return f"{self.block_number}/{self.log_index}: {self.reason}"


class TransactionQuerySet(models.QuerySet["Transaction"]):
    def pending(self) -> "TransactionQuerySet":
        return self.filter(state__in=(Transaction.State.PREPARED, Transaction.State.SENT))


class Transaction(models.Model):
    """A transaction that we send: one nonce, and every hash under which it was offered."""

    class State(models.TextChoices):
        PREPARED = "prepared", "Prepared"
        SENT = "sent", "Sent"
        MINED = "mined", "Mined"
        REVERTED = "reverted", "Reverted"

    chain_id = models.BigIntegerField("chain ID")
    sender = models.CharField(max_length=42)
    nonce = models.BigIntegerField()
    # The job, or other occasion, that wants it: the same key never sends twice.
    key = models.CharField("asked for by", max_length=100, unique=True)
    kind = models.CharField(max_length=60)
    to = models.CharField("recipient", max_length=42)
    data = models.TextField("call data")
    gas = models.BigIntegerField("gas limit")
    max_fee_per_gas = models.DecimalField("max fee per gas (wei)", max_digits=40, decimal_places=0)
    max_priority_fee_per_gas = models.DecimalField("max priority fee per gas (wei)", max_digits=40, decimal_places=0)
    hashes = models.JSONField(default=list)
    state = models.CharField(max_length=10, choices=State, default=State.PREPARED)
    block_number = models.BigIntegerField(null=True)
    error = models.CharField(max_length=300, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    offered_at = models.DateTimeField("last offered at", null=True)

    objects: ClassVar[Any] = TransactionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "sender", "nonce"], name="chain_transaction_nonce_once")
        ]

    def __str__(self) -> str:
        return f"{self.kind} nonce {self.nonce}"
