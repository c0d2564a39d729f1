"""Shapes of the notifications API."""

import re
import zoneinfo
from typing import Any

import phonenumbers
from django.core.exceptions import ValidationError as DjangoValidationError
from django.core.validators import validate_email
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from accounts.serializers import StrictSerializer
from notifications.models import ELECTION_EVENTS, Channel, Contact, Language, Notification, Preferences, Subscription

ELECTION_ID = re.compile(r"^[0-9]{1,18}-[0-9a-f]{8}-[0-9]{1,78}\Z")
EVENTS = [(event.value, event.label) for event in ELECTION_EVENTS]


class PreferencesSerializer(StrictSerializer):
    """Quiet hours are local to `time_zone`; nothing is sent in them."""

    language = serializers.ChoiceField(choices=Language.choices)
    time_zone = serializers.CharField(max_length=64, help_text="An IANA name, such as Europe/Sofia.")
    quiet_from = serializers.TimeField(allow_null=True, default=None)
    quiet_until = serializers.TimeField(allow_null=True, default=None)

    def validate_time_zone(self, value: str) -> str:
        if value not in zoneinfo.available_timezones():
            raise serializers.ValidationError("Not a time zone of the IANA database.", code="unknown_time_zone")
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if (attrs["quiet_from"] is None) != (attrs["quiet_until"] is None):
            raise serializers.ValidationError({"quiet_until": "Set both ends of the quiet hours, or none."})
        return attrs

    class Meta:
        model = Preferences


class SubscriptionChangeSerializer(StrictSerializer):
    events = serializers.ListField(child=serializers.ChoiceField(choices=EVENTS), allow_empty=False, max_length=4)
    channels = serializers.ListField(
        child=serializers.ChoiceField(choices=Channel.choices), allow_empty=False, max_length=2
    )


class SubscriptionCreateSerializer(SubscriptionChangeSerializer):
    election = serializers.RegexField(
        ELECTION_ID, allow_blank=True, default="", max_length=110, help_text="An election's id; empty for all."
    )


class SubscriptionSerializer(serializers.ModelSerializer):
    class Meta:
        model = Subscription
        fields = ("id", "election", "events", "channels", "created_at")
        read_only_fields = fields


class ContactSerializer(serializers.ModelSerializer):
    is_confirmed = serializers.SerializerMethodField()
    is_suppressed = serializers.SerializerMethodField()

    class Meta:
        model = Contact
        fields = ("channel", "address", "pending_address", "is_confirmed", "is_suppressed", "suppressed_reason")
        read_only_fields = fields

    def get_is_confirmed(self, contact: Contact) -> bool:
        return contact.confirmed_at is not None

    def get_is_suppressed(self, contact: Contact) -> bool:
        return contact.suppressed_at is not None


class EmailContactSerializer(StrictSerializer):
    address = serializers.CharField(max_length=254)

    def validate_address(self, value: str) -> str:
        try:
            validate_email(value)
        except DjangoValidationError:
            raise serializers.ValidationError("Not an e-mail address.", code="not_an_address") from None
        return value


class SmsContactSerializer(StrictSerializer):
    address = serializers.CharField(max_length=16, help_text="E.164, such as +359881234567.")

    def validate_address(self, value: str) -> str:
        refusal = serializers.ValidationError("Not a phone number in E.164.", code="not_e164")
        if not re.fullmatch(r"\+[1-9][0-9]{6,14}", value):
            raise refusal
        try:
            number = phonenumbers.parse(value, None)
        except phonenumbers.NumberParseException:
            raise refusal from None
        if not phonenumbers.is_valid_number(number):
            raise refusal
        return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


class CodeSerializer(StrictSerializer):
    code = serializers.RegexField(r"^[0-9]{6}\Z")


class NotificationErrorSerializer(serializers.Serializer):
    attempt = serializers.IntegerField()
    at = serializers.DateTimeField()
    code = serializers.CharField()
    detail = serializers.CharField(required=False)
    retry_after_seconds = serializers.FloatField(required=False)


class NotificationStatusSerializer(serializers.ModelSerializer):
    """What became of one message."""

    job_id = serializers.UUIDField(source="id")
    status = serializers.ChoiceField(
        choices=["queued", "sent", "failed", "delivered", "bounced"], source="public_status"
    )
    is_outcome_unknown = serializers.SerializerMethodField()
    errors = serializers.SerializerMethodField()  # type: ignore[assignment]

    class Meta:
        model = Notification
        fields = (
            "job_id",
            "event",
            "election",
            "channel",
            "status",
            "is_outcome_unknown",
            "attempts",
            "errors",
            "created_at",
            "due_at",
            "sent_at",
            "finished_at",
        )
        read_only_fields = fields

    def get_is_outcome_unknown(self, notification: Notification) -> bool:
        return notification.status == "unknown"

    @extend_schema_field(NotificationErrorSerializer(many=True))
    def get_errors(self, notification: Notification) -> list[dict[str, Any]]:
        return list(notification.errors)


class NotificationPageSerializer(serializers.Serializer):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = NotificationStatusSerializer(many=True)
