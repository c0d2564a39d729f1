"""Shapes of the accounts API."""

from typing import Any

from rest_framework import serializers

from accounts.models import Role, User


class StrictSerializer(serializers.Serializer):
    """Refuses fields that it does not know, each with the code `unknown_field`."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) or hasattr(data, "keys"):
            known = {name for name, field in self.fields.items() if not field.read_only}
            unknown = [name for name in data if name not in known]
            if unknown:
                raise serializers.ValidationError(
                    {str(name): [serializers.ErrorDetail("Unknown field.", code="unknown_field")] for name in unknown}
                )
        return super().to_internal_value(data)


class EmptySerializer(StrictSerializer):
    """A body without fields."""


class RefreshSerializer(StrictSerializer):
    refresh_token = serializers.CharField(required=False, max_length=200)


class RevokeSerializer(StrictSerializer):
    token = serializers.CharField(max_length=4096, help_text="An access token or a refresh token")


class TokenPairSerializer(serializers.Serializer):
    access_token = serializers.CharField()
    token_type = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="Seconds")
    refresh_token = serializers.CharField(required=False)


class SignInSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    method = serializers.CharField()
    provider = serializers.CharField()
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()


class MeSerializer(serializers.Serializer):
    id = serializers.UUIDField()
    email = serializers.EmailField(allow_null=True)
    role = serializers.ChoiceField(choices=Role.choices)
    is_admin = serializers.BooleanField()
    last_sign_in = serializers.DateTimeField(allow_null=True)
    sign_in = SignInSerializer(allow_null=True)
    id_token_expires_at = serializers.DateTimeField(allow_null=True)


class LogoutSerializer(serializers.Serializer):
    provider_logout_url = serializers.CharField(allow_null=True)


class JwksSerializer(serializers.Serializer):
    keys = serializers.ListField(child=serializers.DictField())


class UserSerializer(serializers.ModelSerializer[User]):
    last_sign_in = serializers.DateTimeField(source="last_login", read_only=True)

    class Meta:
        model = User
        fields = ["id", "email", "role", "is_active", "last_sign_in", "created_at"]
        read_only_fields = fields


class CreatedUserSerializer(UserSerializer):
    invitation_url = serializers.CharField(
        read_only=True, help_text="Where the person signs in by eID for the first time; valid for a week, once."
    )

    class Meta(UserSerializer.Meta):
        fields = [*UserSerializer.Meta.fields, "invitation_url"]
        read_only_fields = fields


class CreateUserSerializer(StrictSerializer):
    email = serializers.CharField(max_length=254)
    role = serializers.ChoiceField(choices=[Role.VIEWER, Role.ADMIN])


class UpdateUserSerializer(StrictSerializer):
    email = serializers.CharField(max_length=254, required=False)
    role = serializers.ChoiceField(choices=Role.choices, required=False)
    is_active = serializers.BooleanField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise serializers.ValidationError("Nothing to change.", code="empty")
        return attrs


class UsersQuerySerializer(StrictSerializer):
    role = serializers.ChoiceField(choices=Role.choices, required=False)
    is_active = serializers.BooleanField(required=False, allow_null=True, default=None)
    limit = serializers.IntegerField(min_value=1, max_value=200, default=50)
    offset = serializers.IntegerField(min_value=0, max_value=1_000_000, default=0)


class UserPageSerializer(serializers.Serializer):
    count = serializers.IntegerField()
    results = UserSerializer(many=True)


class AdminMetricsSerializer(serializers.Serializer):
    """One member a source; a source that failed says `error` alone."""

    requests = serializers.DictField(help_text="per_second, p50_ms, p95_ms, p99_ms, error_ratio over the last minute")
    queues = serializers.DictField(help_text="Waiting tasks by queue")
    workers = serializers.DictField(help_text="online, and the names")
    indexer = serializers.DictField(help_text="head, indexed, lag_blocks, lag_seconds")
