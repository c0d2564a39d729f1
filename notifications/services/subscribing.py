"""Who wants to hear of what: subscriptions, preferences, addresses, unsubscribing."""

import hmac
import secrets
import uuid
from collections.abc import Sequence
from datetime import time, timedelta

from django.conf import settings
from django.core import signing
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import actor_of
from audit.services import record
from notifications.exceptions import (
    AddressMissing,
    CodeWrong,
    ContactNotFound,
    SubscriptionExists,
    SubscriptionNotFound,
    TooManyCodes,
    UnsubscribeLinkInvalid,
)
from notifications.models import Channel, Contact, Event, Notification, Preferences, Subscription
from notifications.selectors import address_for, get_preferences
from notifications.services.kicking import kick

UNSUBSCRIBE_SALT = "notifications.unsubscribe"
CODE_MINUTES = 15
CODE_TRIES = 5
CODES_PER_DAY = 5
CODE_PAUSE_SECONDS = 60


@transaction.atomic
def subscribe(*, user: User, events: Sequence[str], channels: Sequence[str], election: str = "") -> Subscription:
    """Subscribe a person to events of one election, or of all. Raises SubscriptionExists, AddressMissing."""
    check_addresses(user=user, channels=channels)
    try:
        with transaction.atomic():
            made = Subscription.objects.create(
                user=user, election=election, events=sorted(set(events)), channels=sorted(set(channels))
            )
    except IntegrityError:
        raise SubscriptionExists from None
    record(
        action="notifications.subscription.created",
        actor=actor_of(user),
        target=f"subscription:{made.pk}",
        data={"election": election, "events": made.events, "channels": made.channels},
    )
    return made


@transaction.atomic
def update_subscription(
    *, user: User, subscription_id: int, events: Sequence[str], channels: Sequence[str]
) -> Subscription:
    """Change the events and channels of a person's own subscription."""
    found = Subscription.objects.select_for_update().filter(pk=subscription_id, user=user).first()
    if found is None:
        raise SubscriptionNotFound
    check_addresses(user=user, channels=channels)
    found.events, found.channels = sorted(set(events)), sorted(set(channels))
    found.save(update_fields=["events", "channels"])
    record(
        action="notifications.subscription.changed",
        actor=actor_of(user),
        target=f"subscription:{found.pk}",
        data={"election": found.election, "events": found.events, "channels": found.channels},
    )
    return found


@transaction.atomic
def unsubscribe(*, user: User, subscription_id: int) -> None:
    """Remove a person's own subscription."""
    found = Subscription.objects.select_for_update().filter(pk=subscription_id, user=user).first()
    if found is None:
        raise SubscriptionNotFound
    found.delete()
    record(action="notifications.subscription.removed", actor=actor_of(user), target=f"subscription:{subscription_id}")


def check_addresses(*, user: User, channels: Sequence[str]) -> None:
    contacts = {contact.channel: contact for contact in Contact.objects.filter(user=user)}
    for channel in channels:
        if not address_for(user=user, channel=channel, contact=contacts.get(channel)):
            raise AddressMissing(f"Confirm an address for {channel} first.")


@transaction.atomic
def set_preferences(
    *, user: User, language: str, time_zone: str, quiet_from: time | None, quiet_until: time | None
) -> Preferences:
    """Set a person's language, time zone and quiet hours."""
    values = {"language": language, "time_zone": time_zone, "quiet_from": quiet_from, "quiet_until": quiet_until}
    before = Preferences.objects.filter(user=user).values(*values).first() or {}
    saved, _ = Preferences.objects.update_or_create(user=user, defaults=values)
    changed = sorted(name for name, value in values.items() if before.get(name) != value)
    record(
        action="notifications.preferences.changed",
        actor=actor_of(user),
        target=actor_of(user),
        data={"fields": changed},
    )
    return saved


@transaction.atomic
def save_contact(*, user: User, channel: str, address: str) -> Contact:
    """Note an address and send a code there; it is written to once `confirm_contact` brought the code back.

    Until then an address that was confirmed before stays in use. Raises TooManyCodes.
    """
    contact, _ = Contact.objects.select_for_update().get_or_create(user=user, channel=channel)
    now = timezone.now()
    if contact.code_sent_at and (now - contact.code_sent_at).total_seconds() < CODE_PAUSE_SECONDS:
        raise TooManyCodes(retry_after_seconds=CODE_PAUSE_SECONDS)
    sent_today = Notification.objects.filter(
        user=user, event=Event.CONFIRMATION, channel=channel, created_at__gt=now - timedelta(days=1)
    ).count()
    if sent_today >= CODES_PER_DAY:
        raise TooManyCodes(retry_after_seconds=24 * 3600)
    code = f"{secrets.randbelow(1_000_000):06}"
    contact.pending_address = address
    contact.code_digest = code_digest(user=user, channel=channel, address=address, code=code)
    contact.code_sent_at = now
    contact.code_tries = 0
    contact.save()
    preferences = get_preferences(user=user)
    Notification.objects.create(
        event=Event.CONFIRMATION,
        user=user,
        channel=channel,
        address=address,
        language=preferences.language,
        time_zone=preferences.time_zone,
        # The code is taken out of the row as soon as the message has left.
        payload={"code": code, "minutes": CODE_MINUTES},
        due_at=now,
        expires_at=now + timedelta(minutes=CODE_MINUTES),
    )
    record(action="notifications.contact.code_sent", actor=actor_of(user), target=actor_of(user), data={"via": channel})
    kick()
    return contact


def confirm_contact(*, user: User, channel: str, code: str) -> Contact:
    """Confirm an address by the code that was sent there. Raises ContactNotFound, CodeWrong."""
    with transaction.atomic():
        contact = Contact.objects.select_for_update().filter(user=user, channel=channel).first()
        if contact is None or not contact.code_digest or contact.code_sent_at is None:
            raise ContactNotFound
        is_late = timezone.now() - contact.code_sent_at > timedelta(minutes=CODE_MINUTES)
        expected = code_digest(user=user, channel=channel, address=contact.pending_address, code=code)
        is_right = hmac.compare_digest(expected, contact.code_digest)
        if is_right and not is_late and contact.code_tries < CODE_TRIES:
            contact.address, contact.pending_address, contact.code_digest = contact.pending_address, "", ""
            contact.confirmed_at = timezone.now()
            contact.suppressed_at, contact.suppressed_reason = None, ""
            contact.save()
            record(
                action="notifications.contact.confirmed",
                actor=actor_of(user),
                target=actor_of(user),
                data={"via": channel},
            )
            return contact
        contact.code_tries += 1
        contact.save(update_fields=["code_tries"])
    # Outside of the transaction, which must keep the count of tries.
    raise CodeWrong


@transaction.atomic
def remove_contact(*, user: User, channel: str) -> None:
    """Forget a person's address for a channel, and send nothing more over it (for SMS: opt out)."""
    if not Contact.objects.filter(user=user, channel=channel).delete()[0]:
        raise ContactNotFound
    if channel == Channel.SMS:
        drop_channel(user_id=user.pk, channel=channel)
    record(action="notifications.contact.removed", actor=actor_of(user), target=actor_of(user), data={"via": channel})


def unsubscribe_token(*, user_id: object, channel: str) -> str:
    """Sign what a one-click link may do: end one channel for one person."""
    return signing.dumps([str(user_id), channel], salt=UNSUBSCRIBE_SALT, compress=True)


def read_unsubscribe_token(token: str) -> tuple[str, str]:
    """Return user id and channel of a link. Raises UnsubscribeLinkInvalid."""
    try:
        user_id, channel = signing.loads(token, salt=UNSUBSCRIBE_SALT)
    except (signing.BadSignature, ValueError):
        raise UnsubscribeLinkInvalid from None
    return user_id, channel


@transaction.atomic
def unsubscribe_by_link(*, token: str) -> str:
    """End a channel for the person whose link this is (RFC 8058), and return the channel; repeating it is fine."""
    user_id, channel = read_unsubscribe_token(token)
    if drop_channel(user_id=user_id, channel=channel):
        record(
            action="notifications.unsubscribed",
            actor=f"user:{user_id}",
            target=f"user:{user_id}",
            data={"via": channel},
        )
    return channel


def drop_channel(*, user_id: uuid.UUID | str, channel: str) -> int:
    """Take a channel out of all of a person's subscriptions; those left with none are removed."""
    changed = 0
    for subscription in Subscription.objects.select_for_update().filter(user_id=user_id, channels__contains=[channel]):
        subscription.channels = [other for other in subscription.channels if other != channel]
        if subscription.channels:
            subscription.save(update_fields=["channels"])
        else:
            subscription.delete()
        changed += 1
    return changed


def code_digest(*, user: User, channel: str, address: str, code: str) -> str:
    message = "\0".join([str(user.pk), channel, address, code])
    return hmac.new(settings.SECRET_KEY.encode(), message.encode(), "sha256").hexdigest()


def language_of_link(*, token: str) -> tuple[str, str]:
    """Return the reader's language and the channel of an unsubscribe link. Raises UnsubscribeLinkInvalid."""
    user_id, channel = read_unsubscribe_token(token)
    preferences = Preferences.objects.filter(user_id=user_id).first()
    return (preferences.language if preferences else "en"), channel
