"""Reads of notifications, and their row locks."""

import uuid

from django.db.models import QuerySet

from accounts.models import User
from notifications.exceptions import NotificationNotFound, SubscriptionNotFound
from notifications.models import Channel, Contact, Notification, Preferences, Subscription


def list_notifications(*, viewer: User) -> QuerySet[Notification]:
    """List the notifications that a person may see, newest first: their own, for admins all."""
    return Notification.objects.all() if viewer.is_admin else Notification.objects.filter(user=viewer)


def get_notification(*, notification_id: uuid.UUID, viewer: User) -> Notification:
    """Get a notification that a person may see; an unknown and a foreign one are both NotificationNotFound."""
    found = list_notifications(viewer=viewer).filter(pk=notification_id).first()
    if found is None:
        raise NotificationNotFound
    return found


def list_subscriptions(*, user: User) -> QuerySet[Subscription]:
    """List a person's subscriptions, the one for all elections first."""
    return Subscription.objects.filter(user=user).order_by("election")


def get_subscription(*, subscription_id: int, user: User) -> Subscription:
    """Get one of a person's own subscriptions."""
    found = Subscription.objects.filter(pk=subscription_id, user=user).first()
    if found is None:
        raise SubscriptionNotFound
    return found


def get_preferences(*, user: User) -> Preferences:
    """Get a person's preferences, or the defaults when they have set none."""
    return Preferences.objects.filter(user=user).first() or Preferences(user=user)


def list_contacts(*, user: User) -> QuerySet[Contact]:
    """List a person's own addresses."""
    return Contact.objects.filter(user=user).order_by("channel")


def address_for(*, user: User, channel: str, contact: Contact | None) -> str:
    """Say where a person is written to over a channel: a confirmed address, else the sign-in's e-mail; or nowhere.

    An address that bounced, complained or said STOP is nowhere.
    """
    if contact is not None and contact.suppressed_at is not None:
        return ""
    if contact is not None and contact.confirmed_at is not None:
        return contact.address
    return (user.email or "") if channel == Channel.EMAIL else ""


def is_awaited(*, event: str, election: str) -> bool:
    """Tell whether anybody wants to hear of this event of this election."""
    return Subscription.objects.filter(election__in=["", election], events__contains=[event]).exists()
