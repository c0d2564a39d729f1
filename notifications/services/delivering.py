"""Delivers what is due: claims rows, calls the provider, writes down what became of each."""

import logging
import random
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from accounts.services import actor_of
from audit.services import record
from notifications.exceptions import (
    AddressMissing,
    NotificationNotFailed,
    OutcomeUnknown,
    ProviderError,
    Refused,
    TemplateIncomplete,
    Unavailable,
)
from notifications.models import ELECTION_EVENTS, Channel, Contact, Event, Notification, Stage, Subscription
from notifications.selectors import address_for, get_notification
from notifications.services.kicking import kick
from notifications.services.pacing import one_of_the_senders, rest, seconds_to_rest, wait_for_slot
from notifications.services.providers import Knowledge, Provider, provider_of
from notifications.services.rendering import render

logger = logging.getLogger(__name__)
WORKER = "system:worker"
CLAIM_SIZE = 20
CLAIM_SECONDS = 120


def deliver_due(*, seconds: float = 25) -> Counter[str]:
    """Deliver what is due until nothing is, or `seconds` have passed; counts what became of the messages.

    Any number of workers may run this at once: NOTIFICATIONS_SENDERS of them deliver, and each row is claimed by one.
    """
    outcomes: Counter[str] = Counter()
    with one_of_the_senders(seconds) as is_sender:
        if is_sender:
            settle_unknown(outcomes)
            deliver_until(time.monotonic() + seconds, outcomes)
    return outcomes


def deliver_until(deadline: float, outcomes: Counter[str]) -> None:
    providers: dict[str, Provider] = {}
    while time.monotonic() < deadline:
        claimed = claim_due()
        if not claimed:
            break
        for index, notification in enumerate(claimed):
            if time.monotonic() >= deadline or not wait_for_slot(notification.channel):
                release(claimed[index:])
                return
            channel = notification.channel
            provider = providers.get(channel) or providers.setdefault(channel, provider_of(channel))
            outcomes[deliver(notification, provider)] += 1


@transaction.atomic
def claim_due() -> list[Notification]:
    """Take some due rows for this worker, for two minutes, skipping those of others and of resting providers."""
    now = timezone.now()
    awake = [channel for channel in Channel.values if seconds_to_rest(channel) <= 0]
    due = (
        Notification.objects.select_for_update(skip_locked=True, of=("self",))
        .filter(Q(claimed_until=None) | Q(claimed_until__lt=now), status=Stage.QUEUED, due_at__lte=now)
        .filter(channel__in=awake)
        .order_by("due_at")
    )
    claimed = list(due[:CLAIM_SIZE])
    until = now + timedelta(seconds=CLAIM_SECONDS)
    Notification.objects.filter(pk__in=[row.pk for row in claimed]).update(claimed_until=until)
    for row in claimed:
        row.claimed_until = until
    return claimed


def release(rows: Sequence[Notification]) -> None:
    for row in rows:
        Notification.objects.filter(pk=row.pk, status=Stage.QUEUED, claimed_until=row.claimed_until).update(
            claimed_until=None
        )


def deliver(notification: Notification, provider: Provider) -> str:
    """Send one claimed notification and return its stage; `skipped` when the claim was lost meanwhile."""
    reason = why_not(notification)
    if reason:
        return finish(notification, Stage.FAILED, error=Refused(reason))
    try:
        rendered = render(notification)
    except TemplateIncomplete as error:
        logger.exception("notification %s cannot be rendered", notification.pk)
        return finish(notification, Stage.FAILED, error=Refused("template_incomplete", str(error)))
    if not mark_sending(notification, provider.name):
        return "skipped"
    try:
        message_id = provider.send(notification, rendered)
    except OutcomeUnknown as error:
        return note_unknown(notification, error)
    except Unavailable as error:
        return try_later(notification, error)
    except ProviderError as error:
        return finish(notification, Stage.FAILED, error=error)
    return finish(notification, Stage.SENT, message_id=message_id)


def why_not(notification: Notification) -> str:
    """Say why a notification should no longer be sent, or nothing: the world moved on while it waited."""
    if notification.expires_at and notification.expires_at <= timezone.now():
        return "expired"
    if notification.event not in ELECTION_EVENTS:
        return ""
    user = User.objects.filter(pk=notification.user_id).first() if notification.user_id else None
    if user is None or not user.is_active:
        return "person_gone"
    contact = Contact.objects.filter(user=user, channel=notification.channel).first()
    address = address_for(user=user, channel=notification.channel, contact=contact)
    if not address:
        return "address_suppressed"
    notification.address = address
    wanted = Subscription.objects.filter(
        user=user,
        election__in=["", notification.election],
        channels__contains=[notification.channel],
        events__contains=[notification.event],
    )
    return "" if wanted.exists() else "unsubscribed"


def mark_sending(notification: Notification, provider: str) -> bool:
    """Commit that the provider is about to be called, so that a kill between call and answer can be seen."""
    now = timezone.now()
    until = now + timedelta(seconds=settings.NOTIFICATIONS_TIMEOUT_SECONDS + settings.NOTIFICATIONS_SETTLE_SECONDS)
    held = Notification.objects.filter(
        pk=notification.pk, status=Stage.QUEUED, claimed_until=notification.claimed_until
    )
    changed = {
        "status": Stage.SENDING,
        "attempts": notification.attempts + 1,
        "attempted_at": now,
        "claimed_until": until,
        "provider": provider,
        "address": notification.address,
    }
    if not held.update(**changed):
        return False
    for name, value in changed.items():
        setattr(notification, name, value)
    return True


@transaction.atomic
def finish(
    notification: Notification, stage: Stage, *, message_id: str = "", error: ProviderError | None = None
) -> str:
    """Write a notification's end as far as we see it; webhooks may still tell of delivery or a bounce."""
    row = Notification.objects.select_for_update().get(pk=notification.pk)
    if row.status not in (Stage.QUEUED, Stage.SENDING, Stage.UNKNOWN):
        # A webhook was faster.
        if message_id and not row.provider_message_id:
            Notification.objects.filter(pk=row.pk).update(provider_message_id=message_id)
        return str(row.status)
    now = timezone.now()
    row.status = stage
    row.claimed_until = None
    row.finished_at = now
    if stage == Stage.SENT:
        row.sent_at = now
        row.provider_message_id = message_id
    if error:
        row.errors = [*row.errors, error_entry(row, error)]
    if row.event == Event.CONFIRMATION:
        row.payload = {}
    row.save()
    record(
        action=f"notifications.notification.{stage.value}",
        actor=WORKER,
        target=f"notification:{row.pk}",
        data={
            "event": row.event,
            "election": row.election,
            "via": row.channel,
            "attempts": row.attempts,
            **({"error": error.code} if error else {}),
        },
    )
    return stage.value


def error_entry(row: Notification, error: ProviderError) -> dict[str, Any]:
    entry: dict[str, Any] = {"attempt": row.attempts, "at": timezone.now().isoformat(), "code": error.code}
    if error.detail:
        entry["detail"] = error.detail
    if error.retry_after_seconds is not None:
        entry["retry_after_seconds"] = round(error.retry_after_seconds, 1)
    return entry


def try_later(notification: Notification, error: ProviderError) -> str:
    """Queue a notification again after a growing pause with jitter, or fail it after the third retry."""
    if notification.attempts > settings.NOTIFICATIONS_MAX_RETRIES:
        return finish(notification, Stage.FAILED, error=error)
    pause = settings.NOTIFICATIONS_RETRY_SECONDS * 2 ** (notification.attempts - 1)
    pause *= 0.75 + random.random() / 2  # noqa: S311  (jitter, not a secret)
    if error.retry_after_seconds is not None:
        pause = max(pause, error.retry_after_seconds)
        rest(notification.channel, error.retry_after_seconds)
    with transaction.atomic():
        row = Notification.objects.select_for_update().get(pk=notification.pk)
        if row.status not in (Stage.SENDING, Stage.UNKNOWN):
            return str(row.status)
        row.status = Stage.QUEUED
        row.claimed_until = None
        row.due_at = timezone.now() + timedelta(seconds=pause)
        row.errors = [*row.errors, error_entry(row, error)]
        row.save(update_fields=["status", "claimed_until", "due_at", "errors"])
    return "retrying"


def note_unknown(notification: Notification, error: ProviderError) -> str:
    """Note that the provider may have the message; it is asked after a while, and not sent to blindly again."""
    with transaction.atomic():
        row = Notification.objects.select_for_update().get(pk=notification.pk)
        if row.status != Stage.SENDING:
            return str(row.status)
        row.status = Stage.UNKNOWN
        row.claimed_until = timezone.now() + timedelta(seconds=settings.NOTIFICATIONS_SETTLE_SECONDS)
        row.errors = [*row.errors, error_entry(row, error)]
        row.save(update_fields=["status", "claimed_until", "errors"])
    return "unknown"


def settle_unknown(outcomes: Counter[str]) -> None:
    """Ask the providers about messages that were under way when a connection broke or a worker was killed."""
    now = timezone.now()
    open_rows = Notification.objects.filter(status__in=[Stage.SENDING, Stage.UNKNOWN], claimed_until__lt=now)
    for pk in list(open_rows.order_by("claimed_until").values_list("pk", flat=True)[:100]):
        with transaction.atomic():
            row = open_rows.select_for_update(skip_locked=True).filter(pk=pk).first()
            if row is None:
                continue
            if row.status == Stage.SENDING:
                row.errors = [*row.errors, error_entry(row, OutcomeUnknown("worker_lost"))]
            row.status = Stage.UNKNOWN
            row.claimed_until = now + timedelta(seconds=max(settings.NOTIFICATIONS_TIMEOUT_SECONDS * 2, 1))
            row.save(update_fields=["status", "claimed_until", "errors"])
        outcomes[settle(row)] += 1


def settle(row: Notification) -> str:
    """Settle one message by what its provider knows: there, not there, or (after a hold) unknown for good."""
    try:
        rendered = render(row)
    except TemplateIncomplete as error:
        return finish(row, Stage.FAILED, error=Refused("template_incomplete", str(error)))
    known = provider_of(row.channel).look_up(row, rendered)
    if isinstance(known, str):
        return finish(row, Stage.SENT, message_id=known)
    if known is Knowledge.NOT_THERE:
        return try_later(row, Unavailable("not_taken", "The provider does not have the message."))
    attempted_at = row.attempted_at or row.created_at
    if timezone.now() - attempted_at > timedelta(seconds=settings.NOTIFICATIONS_HOLD_SECONDS):
        return finish(
            row, Stage.FAILED, error=Refused("outcome_unknown", "The provider cannot tell, and no event came.")
        )
    return "unknown"


@transaction.atomic
def send_again(*, notification_id: uuid.UUID, by: User) -> Notification:
    """Queue a failed notification again, at the wish of an administrator."""
    row = Notification.objects.select_for_update().get(
        pk=get_notification(notification_id=notification_id, viewer=by).pk
    )
    if row.status != Stage.FAILED or row.event == Event.CONFIRMATION:
        raise NotificationNotFailed
    row.status, row.attempts, row.due_at, row.claimed_until, row.finished_at = (
        Stage.QUEUED,
        0,
        timezone.now(),
        None,
        None,
    )
    row.save()
    record(action="notifications.notification.sent_again", actor=actor_of(by), target=f"notification:{row.pk}")
    kick()
    return row


@transaction.atomic
def send_test(*, by: User, channel: str, language: str, event: str, payload: dict[str, Any]) -> Notification:
    """Send a sample to the staff member who asks, over their own address."""
    contact = Contact.objects.filter(user=by, channel=channel).first()
    address = address_for(user=by, channel=channel, contact=contact)
    if not address:
        raise AddressMissing
    row = Notification.objects.create(
        event=Event.TEST,
        user=by,
        channel=channel,
        address=address,
        language=language,
        payload={**payload, "sample_of": event},
        due_at=timezone.now(),
    )
    record(
        action="notifications.test_sent",
        actor=actor_of(by),
        target=f"notification:{row.pk}",
        data={"via": channel, "event": event},
    )
    kick()
    return row
