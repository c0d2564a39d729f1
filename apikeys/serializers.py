"""Shapes of the API of keys."""

from typing import Any

from django.conf import settings
from django.utils import timezone
from rest_framework import serializers

from accounts.models import User
from accounts.serializers import StrictSerializer
from apikeys.models import ApiKey, KeyStatus


class ApiKeyChanges(StrictSerializer):
    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(settings.API_KEY_SCOPES.items())),
        help_text="What the key opens; each route names the scope that it takes.",
    )
    expires_at = serializers.DateTimeField(allow_null=True, required=False)
    limit_per_minute = serializers.IntegerField(
        min_value=1, max_value=1_000_000, allow_null=True, required=False, help_text="null: the default limit"
    )

    def validate_expires_at(self, value: Any) -> Any:
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("It must be in the future.", code="not_in_future")
        return value


class ApiKeyInput(ApiKeyChanges):
    owner = serializers.PrimaryKeyRelatedField(
        queryset=User.objects.filter(is_active=True), required=False, help_text="Who the key acts as; you, by default."
    )


class RotationInput(StrictSerializer):
    overlap_seconds = serializers.IntegerField(
        min_value=0, max_value=30 * 86_400, default=86_400, help_text="How long the old key goes on working."
    )


class ApiKeyOutput(serializers.ModelSerializer[ApiKey]):
    prefix = serializers.CharField(help_text="The public part, to recognise the key by.")
    status = serializers.ChoiceField(choices=KeyStatus.choices)
    replaced_by = serializers.SerializerMethodField()

    class Meta:
        model = ApiKey
        fields = [
            "id",
            "name",
            "prefix",
            "owner",
            "scopes",
            "limit_per_minute",
            "status",
            "created_at",
            "expires_at",
            "revoked_at",
            "last_used_at",
            "replaces",
            "replaced_by",
        ]
        read_only_fields = fields

    def get_replaced_by(self, key: ApiKey) -> str | None:
        successor = getattr(key, "replaced_by", None)
        return str(successor.pk) if successor else None


class ApiKeyPage(serializers.Serializer[Any]):
    next = serializers.CharField(allow_null=True, help_text="Address of the next page")
    previous = serializers.CharField(allow_null=True, help_text="Address of the previous page")
    results = ApiKeyOutput(many=True)


class CreatedApiKey(ApiKeyOutput):
    key = serializers.CharField(help_text="The key itself, shown this once.")

    class Meta(ApiKeyOutput.Meta):
        fields = [*ApiKeyOutput.Meta.fields, "key"]
        read_only_fields = fields


class UsageQuery(StrictSerializer):
    days = serializers.IntegerField(min_value=1, max_value=90, default=30)


class UsageRow(serializers.Serializer[dict[str, Any]]):
    day = serializers.DateField()
    route = serializers.CharField(help_text="Method and route pattern.")
    status = serializers.IntegerField(help_text="HTTP status.")
    requests = serializers.IntegerField(source="total")


class UsageOutput(serializers.Serializer[dict[str, Any]]):
    days = serializers.IntegerField()
    requests = serializers.IntegerField()
    rows = UsageRow(many=True)


class ApiKeyFilter(StrictSerializer):
    owner = serializers.UUIDField(required=False)
    active = serializers.BooleanField(required=False, allow_null=True, default=None)
    cursor = serializers.CharField(required=False)
    page_size = serializers.IntegerField(required=False, min_value=1, max_value=100)
