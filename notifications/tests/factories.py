"""Subscribers and notifications for tests."""

from typing import Any

from django.utils import timezone

from accounts.models import User
from accounts.tests.factories import UserFactory
from notifications.models import Channel, Contact, Event, Notification, Preferences, Subscription
from notifications.services.samples import SAMPLE_ELECTION, sample_payload

ALL_EVENTS = ["created", "closing", "tallied", "cancelled"]


def subscriber(*, channels: list[str] | None = None, election: str = "", phone: str = "", **preferences: Any) -> User:
    """Make a person who wants to hear of everything."""
    user = UserFactory()
    if phone:
        Contact.objects.create(user=user, channel=Channel.SMS, address=phone, confirmed_at=timezone.now())
    if preferences:
        Preferences.objects.create(user=user, **preferences)
    Subscription.objects.create(user=user, events=ALL_EVENTS, channels=channels or ["email"], election=election)
    return user


def notification(*, event: str = Event.CREATED, channel: str = Channel.EMAIL, **changes: Any) -> Notification:
    """Make a due notification to a subscriber; `payload` entries are over a sample's."""
    user = changes.pop("user", None)
    if user is None:
        user = subscriber(channels=[channel], phone="+359881234567" if channel == Channel.SMS else "")
    payload = sample_payload(event) | changes.pop("payload", {})
    values = {
        "event": event,
        "election": "" if event in (Event.CONFIRMATION, Event.TEST) else SAMPLE_ELECTION,
        "user": user,
        "channel": channel,
        "address": "+359881234567" if channel == Channel.SMS else user.email,
        "payload": payload,
        "due_at": timezone.now(),
    }
    return Notification.objects.create(**(values | changes))


def news(**changes: Any) -> dict[str, Any]:
    """The arguments of `announce` for a tallied election."""
    values: dict[str, Any] = {
        "event": "tallied",
        "election": SAMPLE_ELECTION,
        "title": "Where should the park go?",
        "options": ["River", "Yard"],
        "totals": [3, 2],
        "turnout": 5,
        "starts_at": None,
        "ends_at": timezone.now(),
    }
    return values | changes
