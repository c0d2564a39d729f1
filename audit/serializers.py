"""Shapes of the audit endpoints."""

from typing import Any

from rest_framework import serializers

from audit.models import Entry

MAX_INTEGER = 2**63 - 1


class QuerySerializer(serializers.Serializer):
    """Query parameters; unknown ones are refused."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        unknown = set(self.initial_data) - set(self.fields)
        if unknown:
            refusal = serializers.ErrorDetail("Unknown parameter.", code="unknown_field")
            raise serializers.ValidationError({name: [refusal] for name in sorted(unknown)})
        return attrs


class ProofQuerySerializer(QuerySerializer):
    seq = serializers.IntegerField(min_value=0, max_value=MAX_INTEGER, required=False, help_text="The entry's number.")
    id = serializers.UUIDField(required=False, help_text="The receipt: what `Audit-Receipt` named.")
    size = serializers.IntegerField(
        min_value=1,
        max_value=MAX_INTEGER,
        required=False,
        help_text="The size of a signed checkpoint; default: the last.",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs = super().validate(attrs)
        if ("seq" in attrs) == ("id" in attrs):
            raise serializers.ValidationError("Give either `seq` or `id`.")
        return attrs


class EntriesQuerySerializer(QuerySerializer):
    action = serializers.CharField(required=False, help_text="An action, or its beginning up to a dot.")
    actor = serializers.CharField(required=False)
    target = serializers.CharField(required=False)
    request_id = serializers.CharField(required=False)
    seq = serializers.IntegerField(min_value=0, max_value=MAX_INTEGER, required=False)
    since = serializers.DateTimeField(required=False)
    until = serializers.DateTimeField(required=False)
    search = serializers.CharField(required=False, max_length=200, help_text="Words in the action, actor or target.")
    before = serializers.UUIDField(required=False, help_text="The `next` of the page before.")
    limit = serializers.IntegerField(min_value=1, max_value=500, default=100)


class EntrySerializer(serializers.ModelSerializer):
    seq = serializers.SerializerMethodField(help_text="Null until the sequencer numbered it.")
    entry_hash = serializers.SerializerMethodField(help_text="SHA-256 of the canonical bytes, in hexadecimal.")

    class Meta:
        model = Entry
        fields = ["id", "seq", "created_at", "action", "actor", "target", "data", "request_id", "entry_hash"]

    def get_seq(self, entry: Entry) -> int | None:
        return entry.leaf.seq if hasattr(entry, "leaf") else None

    def get_entry_hash(self, entry: Entry) -> str | None:
        return bytes(entry.leaf.entry_hash).hex() if hasattr(entry, "leaf") else None


class EntriesPageSerializer(serializers.Serializer):
    results = EntrySerializer(many=True)
    next = serializers.UUIDField(allow_null=True, help_text="Give as `before` for the next page.")
