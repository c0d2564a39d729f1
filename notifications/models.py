"""Who wants to hear of what, and every message with what became of it."""

import uuid

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models


class Event(models.TextChoices):
    CREATED = "created", "New election"
    CLOSING = "closing", "Closing soon"
    TALLIED = "tallied", "Final tally"
    CANCELLED = "cancelled", "Cancelled"
    CONFIRMATION = "confirmation", "Confirmation code"
    TEST = "test", "Test"


ELECTION_EVENTS = (Event.CREATED, Event.CLOSING, Event.TALLIED, Event.CANCELLED)


class Channel(models.TextChoices):
    EMAIL = "email", "E-mail"
    SMS = "sms", "SMS"


class Language(models.TextChoices):
    EN = "en", "English"
    BG = "bg", "Български"


class Preferences(models.Model):
    """How a person wants to be written to. Quiet hours are local times; from after until spans midnight."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, primary_key=True, related_name="notification_preferences"
    )
    language = models.CharField(max_length=2, choices=Language, default=Language.EN)
    time_zone = models.CharField(max_length=64, default="UTC")
    quiet_from = models.TimeField(null=True, blank=True)
    quiet_until = models.TimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "preferences"
        constraints = [
            models.CheckConstraint(
                condition=models.Q(quiet_from__isnull=True, quiet_until__isnull=True)
                | models.Q(quiet_from__isnull=False, quiet_until__isnull=False),
                name="notifications_quiet_both_or_none",
            )
        ]

    def __str__(self) -> str:
        return f"preferences of {self.user_id}"


class Contact(models.Model):
    """An address that a person has confirmed by a code, or has still to confirm."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="contacts")
    channel = models.CharField(max_length=5, choices=Channel)
    address = models.CharField(max_length=254, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    pending_address = models.CharField(max_length=254, blank=True)
    code_digest = models.CharField("digest of the code", max_length=64, blank=True)
    code_sent_at = models.DateTimeField(null=True, blank=True)
    code_tries = models.PositiveSmallIntegerField("tries of the code", default=0)
    # A hard bounce, a complaint or a STOP: nothing is sent there until it is confirmed again.
    suppressed_at = models.DateTimeField(null=True, blank=True)
    suppressed_reason = models.CharField("reason for the suppression", max_length=50, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "channel"], name="notifications_one_contact")]

    def __str__(self) -> str:
        return f"{self.channel} of {self.user_id}"


class Subscription(models.Model):
    """What a person wants to hear of: these events of one election, or of all (an empty `election`)."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="subscriptions")
    election = models.CharField(max_length=110, blank=True)
    events = ArrayField(models.CharField(max_length=12, choices=[(e.value, e.label) for e in ELECTION_EVENTS]))
    channels = ArrayField(models.CharField(max_length=5, choices=Channel))
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "election"], name="notifications_one_subscription")]
        indexes = [models.Index(fields=["election", "id"], name="notifications_subscribers")]

    def __str__(self) -> str:
        return f"{self.user_id}: {self.election or 'all elections'}"


class Announcement(models.Model):
    """A moment of an election, committed with its cause; a job turns it into a notification per recipient."""

    event = models.CharField(max_length=12, choices=Event)
    election = models.CharField(max_length=110)
    context = models.JSONField()
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    fanned_out_at = models.DateTimeField("sent to all at", null=True, blank=True)
    recipients = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["event", "election"], name="notifications_announced_once")]

    def __str__(self) -> str:
        return f"{self.event} of {self.election}"


class Stage(models.TextChoices):
    QUEUED = "queued", "Queued"
    SENDING = "sending", "Sending"
    UNKNOWN = "unknown", "Outcome unknown"
    SENT = "sent", "Sent"
    DELIVERED = "delivered", "Delivered"
    BOUNCED = "bounced", "Bounced"
    FAILED = "failed", "Failed"


UNSETTLED = (Stage.QUEUED, Stage.SENDING, Stage.UNKNOWN)


class Notification(models.Model):
    """One message to one person over one channel.

    `sending` is committed before the provider is called and `sent` after: a row that a killed worker left in
    between says so, and is settled by what the provider knows under its id, never by sending again blindly.
    """

    id = models.UUIDField("ID", primary_key=True, default=uuid.uuid4, editable=False)
    event = models.CharField(max_length=12, choices=Event)
    election = models.CharField(max_length=110, blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="notifications"
    )
    channel = models.CharField(max_length=5, choices=Channel)
    address = models.CharField(max_length=254)
    language = models.CharField(max_length=2, choices=Language, default=Language.EN)
    time_zone = models.CharField(max_length=64, default="UTC")
    payload = models.JSONField(default=dict)
    status = models.CharField(max_length=9, choices=Stage, default=Stage.QUEUED)
    attempts = models.PositiveSmallIntegerField(default=0)
    errors = models.JSONField(default=list, blank=True)
    provider = models.CharField(max_length=20, blank=True)
    provider_message_id = models.CharField("provider's message ID", max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    due_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    attempted_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "message"
        ordering = ("-created_at", "id")
        constraints = [
            models.UniqueConstraint(
                fields=["event", "election", "user", "channel"],
                condition=models.Q(event__in=ELECTION_EVENTS),
                name="notifications_once",
            ),
            models.CheckConstraint(condition=models.Q(status__in=Stage.values), name="notifications_stage_known"),
        ]
        indexes = [
            models.Index(fields=["channel", "due_at"], condition=models.Q(status="queued"), name="notifications_due"),
            models.Index(
                fields=["claimed_until"],
                condition=models.Q(status__in=["sending", "unknown"]),
                name="notifications_unsettled",
            ),
            models.Index(fields=["user", "-created_at"], name="notifications_of_user"),
            models.Index(
                fields=["provider_message_id"],
                condition=~models.Q(provider_message_id=""),
                name="notifications_by_provider_id",
            ),
            models.Index(fields=["-created_at", "id"], name="notifications_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.event} {self.channel} {self.pk}"

    @property
    def public_status(self) -> str:
        """`queued`, `sent`, `failed`, `delivered` or `bounced`."""
        return Stage.QUEUED.value if self.status in UNSETTLED else str(self.status)


class ProviderEvent(models.Model):
    """A webhook event that was taken; its id is taken once."""

    provider = models.CharField(max_length=20)
    event_id = models.CharField("event ID", max_length=200)
    kind = models.CharField(max_length=50)
    notification = models.ForeignKey(Notification, on_delete=models.CASCADE, related_name="provider_events")
    received_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["provider", "event_id"], name="notifications_event_once")]

    def __str__(self) -> str:
        return f"{self.provider} {self.kind}"
