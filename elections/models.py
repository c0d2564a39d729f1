"""Elections as folded from the chain, their metadata, the heads of the chains, and moments to announce."""

import re
from typing import Any, ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

PUBLIC_ID = re.compile(r"(?P<chain_id>[0-9]{1,18})-(?P<contract>[0-9a-f]{8})-(?P<election_id>[0-9]{1,78})")


class UInt256Field(models.DecimalField):
    """A Solidity `uint256`, in Python an `int`."""

    # What django-stubs' plugin reads.
    _pyi_private_set_type: int
    _pyi_private_get_type: int  # type: ignore[assignment]
    _pyi_lookup_exact_type: int

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["max_digits"], kwargs["decimal_places"] = 78, 0
        super().__init__(*args, **kwargs)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs

    def from_db_value(self, value: Any, *_: Any) -> int | None:
        return None if value is None else int(value)

    def to_python(self, value: Any) -> Any:
        return value if value is None or isinstance(value, int) else int(super().to_python(value))


class Status(models.TextChoices):
    PENDING = "pending", "Pending"
    OPEN = "open", "Open"
    CLOSED = "closed", "Closed"
    TALLIED = "tallied", "Tallied"
    CANCELLED = "cancelled", "Cancelled"


class Finality(models.TextChoices):
    LATEST = "latest", "Latest"
    SAFE = "safe", "Safe"
    FINALIZED = "finalized", "Finalized"


class ChainHead(models.Model):
    """The newest block indexed of one chain, and how far it is safe and finalized."""

    chain_id = models.BigIntegerField("chain ID", primary_key=True)
    number = models.BigIntegerField("block number")
    hash = models.BinaryField("block hash", max_length=32)
    timestamp = models.BigIntegerField("block time", help_text="Unix seconds")
    safe_block = models.BigIntegerField()
    finalized_block = models.BigIntegerField()
    block_seconds = models.FloatField("seconds per block", help_text="Smoothed time between blocks, for expected times")

    def __str__(self) -> str:
        return f"chain {self.chain_id} at {self.number}"

    def expected_timestamp(self, block_number: int) -> int:
        """Estimate when a block comes, or came, in Unix seconds."""
        return round(self.timestamp + (block_number - self.number) * self.block_seconds)


class Metadata(models.Model):
    """A document describing an election, under the SHA-256 of its canonical JSON (RFC 8785)."""

    hash = models.BinaryField(max_length=32, primary_key=True)
    document = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "description"

    def __str__(self) -> str:
        title = self.document.get("title") if isinstance(self.document, dict) else None
        return str(title) if title else f"0x{bytes(self.hash).hex()}"


class ElectionQuerySet(models.QuerySet["Election"]):
    def visible(self) -> "ElectionQuerySet":
        """Leave out elections that a reorg took back."""
        return self.filter(is_withdrawn=False)

    def on_contract(self, *, chain_id: int, contract: str) -> "ElectionQuerySet":
        return self.filter(chain_id=chain_id, contract=contract)


class Election(models.Model):
    """One election as its events and the chain's head say; written by the indexer alone."""

    # "{chain_id}-{first 8 hex digits of the contract}-{election_id}"
    public_id = models.CharField("public ID", max_length=110, unique=True)
    chain_id = models.BigIntegerField("chain ID")
    # 0x and lower case.
    contract = models.CharField(max_length=42)
    election_id = UInt256Field("ID on the contract")

    metadata_hash = models.BinaryField(max_length=32, db_index=True)
    start_block = UInt256Field()
    end_block = UInt256Field()
    options = models.PositiveSmallIntegerField("number of options")
    census_root = UInt256Field(null=True)
    verifier = models.CharField(max_length=42, null=True)  # noqa: DJ001  (no verifier is not an empty one)

    status = models.CharField(max_length=9, choices=Status)
    finality = models.CharField(max_length=9, choices=Finality, default=Finality.LATEST)
    votes = ArrayField(models.BigIntegerField(), help_text="Votes seen per option", verbose_name="votes by option")
    totals = ArrayField(UInt256Field(), null=True, help_text="The published tally", verbose_name="published totals")
    turnout = UInt256Field(default=0)
    is_cancelled = models.BooleanField("cancelled", default=False)
    facts = models.JSONField(default=dict, help_text="Block and transaction of each kind of fact")
    created_block = models.BigIntegerField()
    last_fact_block = models.BigIntegerField()

    starts_at = models.DateTimeField(null=True, help_text="Expected, until the block is there")
    ends_at = models.DateTimeField(null=True, help_text="Expected, until the block is there")
    # A reorg may take an election back and bring it again: the row stays for what hangs on it, out of sight.
    is_withdrawn = models.BooleanField("withdrawn by a reorg", default=False)
    # Grows with every change of any election: orders pushes, and lets a reader ask for what was missed.
    revision = models.BigIntegerField(default=0)
    first_seen_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects: ClassVar[Any] = ElectionQuerySet.as_manager()

    # Set by selectors: the metadata when its hash matches, and the head of the election's chain.
    document: ClassVar[dict[str, Any] | None] = None
    head: ClassVar[ChainHead | None] = None

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["chain_id", "contract", "election_id"], name="election_on_chain_once"),
        ]
        indexes = [
            models.Index(fields=["-created_block", "-id"], name="election_newest"),
            models.Index(fields=["status", "-created_block", "-id"], name="election_status_newest"),
            models.Index(fields=["end_block", "id"], name="election_end"),
            models.Index(fields=["status", "end_block", "id"], name="election_status_end"),
            models.Index(
                fields=["chain_id", "start_block"], name="election_to_open", condition=models.Q(status="pending")
            ),
            models.Index(fields=["chain_id", "end_block"], name="election_to_close", condition=models.Q(status="open")),
            models.Index(
                fields=["chain_id", "last_fact_block"],
                name="election_unfinalized",
                condition=~models.Q(finality="finalized"),
            ),
            models.Index(fields=["revision"], name="election_revision"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def target(self) -> str:
        """How audit entries name the election."""
        return f"election:{self.chain_id}/{self.contract}/{self.election_id}"

    @property
    def has_census(self) -> bool:
        return self.verifier is not None


class Moment(models.Model):
    """A moment in an election's life that is announced once, when its block is final enough."""

    class Kind(models.TextChoices):
        CREATED = "created", "Created"
        CLOSING = "closing", "Closing soon"
        TALLIED = "tallied", "Tallied"
        CANCELLED = "cancelled", "Cancelled"

    election = models.ForeignKey(Election, on_delete=models.CASCADE, related_name="moments")
    kind = models.CharField(max_length=9, choices=Kind)
    block_number = UInt256Field()
    announced_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["election", "kind"], name="moment_once")]
        indexes = [
            models.Index(fields=["block_number"], name="moment_due", condition=models.Q(announced_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.election_id}"


class Census(models.Model):
    """Who may vote in a secret ballot: the root of a LeanIMT over identity commitments, and where it stands."""

    election = models.OneToOneField(Election, on_delete=models.CASCADE, related_name="census")
    size = models.PositiveIntegerField(default=0)
    root = UInt256Field(default=0)
    closed_at = models.DateTimeField(null=True, blank=True, help_text="Registration ended; the root is final")

    class Meta:
        verbose_name_plural = "censuses"

    def __str__(self) -> str:
        return f"census of {self.election_id}, {self.size} members"


class CensusMember(models.Model):
    """One registration: a commitment at its place in the tree, once for each person.

    The person is kept only as a keyed hash of election and eID subject.
    """

    census = models.ForeignKey(Census, on_delete=models.CASCADE, related_name="members")
    index = models.PositiveIntegerField()
    commitment = UInt256Field()
    subject_digest = models.CharField("digest of the person", max_length=64)
    registered_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["census", "index"], name="census_place_once"),
            models.UniqueConstraint(fields=["census", "commitment"], name="census_commitment_once"),
            models.UniqueConstraint(fields=["census", "subject_digest"], name="census_person_once"),
        ]

    def __str__(self) -> str:
        return f"member {self.index} of {self.census_id}"


class CensusNode(models.Model):
    """A node of a census tree above the leaves, so that a proof is one read of twenty rows."""

    census = models.ForeignKey(Census, on_delete=models.CASCADE, related_name="nodes")
    level = models.PositiveSmallIntegerField()
    index = models.PositiveIntegerField()
    value = models.BinaryField(max_length=32)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["census", "level", "index"], name="census_node_once")]

    def __str__(self) -> str:
        return f"node {self.level}/{self.index} of {self.census_id}"


def public_id_of(*, chain_id: int, contract: str, election_id: int) -> str:
    """Return the id under which the API knows an election."""
    return f"{chain_id}-{contract[2:10]}-{election_id}"
