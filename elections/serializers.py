"""Shapes of the elections API."""

import re
from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from accounts.serializers import StrictSerializer
from elections.models import Election, Finality, Status
from elections.projection import finality_of
from elections.selectors import DEFAULT_LIMIT, DEFAULT_ORDERING, MAX_LIMIT, ORDERING_CHOICES

FACTS = ["created", "census_root_set", "last_vote", "tally", "cancelled"]


class BlockTimeSerializer(serializers.Serializer[Any]):
    block = serializers.IntegerField()
    time = serializers.DateTimeField(allow_null=True)
    is_expected = serializers.BooleanField(help_text="The block is yet to come; the time is an estimate.")


class TallySerializer(serializers.Serializer[Any]):
    option = serializers.IntegerField(help_text="The choice, from 0")
    label = serializers.CharField(  # type: ignore[assignment]
        allow_null=True, help_text="From the metadata; null when there is none"
    )
    votes = serializers.IntegerField()


class FactSerializer(serializers.Serializer[Any]):
    block_number = serializers.IntegerField()
    block_hash = serializers.CharField()
    block_time = serializers.DateTimeField()
    tx_hash = serializers.CharField()
    log_index = serializers.IntegerField()
    finality = serializers.ChoiceField(choices=Finality.choices)


class FactsSerializer(serializers.Serializer[Any]):
    created = FactSerializer()
    census_root_set = FactSerializer(required=False)
    last_vote = FactSerializer(required=False)
    tally = FactSerializer(required=False)
    cancelled = FactSerializer(required=False)


class MetadataSerializer(StrictSerializer):
    """What an election is about; its SHA-256 over canonical JSON (RFC 8785) is the election's `metadata_hash`."""

    title = serializers.CharField(max_length=200)
    description = serializers.CharField(max_length=10_000, allow_blank=True)
    options = serializers.ListField(child=serializers.CharField(max_length=200), min_length=2, max_length=255)


class ElectionSummarySerializer(serializers.Serializer[Election]):
    """An election as lists show it."""

    id = serializers.CharField()
    chain_id = serializers.IntegerField()
    contract = serializers.CharField()
    election_id = serializers.CharField(help_text="The id on the contract, a decimal uint256")
    title = serializers.CharField(allow_null=True, help_text="From the metadata")
    status = serializers.ChoiceField(choices=Status.choices)
    finality = serializers.ChoiceField(
        choices=Finality.choices, help_text="Of the newest fact: how safe all of this is from a reorg"
    )
    start = BlockTimeSerializer()
    end = BlockTimeSerializer()
    turnout = serializers.IntegerField()
    tally = TallySerializer(many=True, help_text="Votes per option: seen so far, or as the contract published")
    revision = serializers.IntegerField(help_text="Grows with each change of any election")

    def to_representation(self, instance: Election) -> dict[str, Any]:
        """Build the members at once: field by field, a page of a hundred took twenty times as long."""
        document = instance.document
        labels = document["options"] if document else [None] * instance.options
        counts = instance.votes if instance.totals is None else instance.totals
        pairs = zip(labels, counts, strict=False)
        return {
            "id": instance.public_id,
            "chain_id": instance.chain_id,
            "contract": instance.contract,
            "election_id": str(instance.election_id),
            "title": document["title"] if document else None,
            "status": instance.status,
            "finality": instance.finality,
            "start": block_time(instance, instance.start_block, instance.starts_at),
            "end": block_time(instance, instance.end_block, instance.ends_at),
            "turnout": int(instance.turnout),
            "tally": [
                {"option": number, "label": label, "votes": int(votes)} for number, (label, votes) in enumerate(pairs)
            ],
            "revision": instance.revision,
        }


class ElectionSerializer(ElectionSummarySerializer):
    """Everything about an election."""

    metadata_hash = serializers.CharField()
    metadata = MetadataSerializer(
        allow_null=True, help_text="Null when nobody has brought a document that matches the hash"
    )
    census_root = serializers.CharField(allow_null=True)
    verifier = serializers.CharField(allow_null=True, help_text="The eligibility verifier; null: one vote per sender")
    facts = FactsSerializer(help_text="Where on the chain each fact stands, and how final it is")

    def to_representation(self, instance: Election) -> dict[str, Any]:
        root = instance.census_root
        return super().to_representation(instance) | {
            "metadata_hash": f"0x{bytes(instance.metadata_hash).hex()}",
            "metadata": instance.document,
            "census_root": None if root is None else f"0x{root:064x}",
            "verifier": instance.verifier,
            "facts": describe_facts(instance),
        }


class PageSerializer(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="Address of the next page")
    previous = serializers.CharField(allow_null=True, help_text="Address of the previous page")
    results = ElectionSummarySerializer(many=True)


class ListParametersSerializer(StrictSerializer):
    status = serializers.ChoiceField(choices=Status.values, required=False)
    ordering = serializers.ChoiceField(choices=ORDERING_CHOICES, default=DEFAULT_ORDERING)
    limit = serializers.IntegerField(min_value=1, max_value=MAX_LIMIT, default=DEFAULT_LIMIT)
    cursor = serializers.CharField(max_length=300, default="")


class HexField(serializers.RegexField):
    """Bytes as 0x and lower- or upper-case hex digits, kept in lower case."""

    def __init__(self, *, length: int, **kwargs: Any) -> None:
        super().__init__(re.compile(rf"\A0x[0-9a-fA-F]{{{length * 2}}}\Z"), **kwargs)

    def to_internal_value(self, data: Any) -> str:
        return str(super().to_internal_value(data)).lower()


@extend_schema_serializer(component_name="NewElection")
class NewElectionSerializer(StrictSerializer):
    metadata = MetadataSerializer()
    start_block = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    end_block = serializers.IntegerField(min_value=2, max_value=2**63 - 1)
    census_root = HexField(length=32, allow_null=True, default=None)
    verifier = HexField(
        length=20,
        allow_null=True,
        default=None,
        help_text="Address of the eligibility verifier; null: an open ballot, one vote per sender",
    )


class StartedSerializer(serializers.Serializer[Any]):
    job_id = serializers.CharField()
    status = serializers.CharField()
    status_url = serializers.CharField()


class StartedElectionSerializer(StartedSerializer):
    metadata_hash = serializers.CharField()


class StoredMetadataSerializer(serializers.Serializer[Any]):
    hash = serializers.CharField()
    metadata = MetadataSerializer()


def describe_facts(election: Election) -> dict[str, Any]:
    safe = election.head.safe_block if election.head else -1
    finalized = election.head.finalized_block if election.head else -1
    facts = {}
    for kind in FACTS:
        if kind in election.facts:
            fact = dict(election.facts[kind])
            fact["block_time"] = utc(fact.pop("block_timestamp"))
            fact["finality"] = finality_of(fact["block_number"], safe_block=safe, finalized_block=finalized)
            facts[kind] = fact
    return facts


def block_time(election: Election, block: int, time: Any) -> dict[str, Any]:
    is_expected = election.head is None or election.head.number < block
    return {"block": int(block), "time": None if time is None else iso(time), "is_expected": is_expected}


def iso(time: Any) -> str:
    return str(time.isoformat(timespec="seconds")).replace("+00:00", "Z")


def utc(timestamp: int) -> str:
    return iso(datetime.fromtimestamp(timestamp, UTC))
