"""Turns a moment of an election into one notification per subscriber and channel."""

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit.services import record
from jobs.services import start
from notifications.models import Announcement, Contact, Notification, Preferences, Subscription
from notifications.selectors import address_for
from notifications.services.kicking import kick


def announce(
    *,
    event: str,
    election: str,
    title: str,
    options: Sequence[str],
    totals: Sequence[int] | None,
    turnout: int,
    starts_at: datetime | None,
    ends_at: datetime | None,
) -> None:
    """Announce a moment of an election, once, in the caller's transaction; a job writes to its subscribers later.

    `election` is the public id; `totals` are the final tally, in the order of `options`.
    """
    context = {
        "title": title,
        "options": list(options),
        "totals": [str(total) for total in totals] if totals is not None else None,
        "turnout": str(turnout),
        "starts_at": starts_at.isoformat() if starts_at else None,
        "ends_at": ends_at.isoformat() if ends_at else None,
    }
    announcement, is_new = Announcement.objects.get_or_create(
        event=event,
        election=election,
        defaults={"context": context, "expires_at": ends_at if event == "closing" else None},
    )
    if not is_new:
        return
    record(action="notifications.announced", target=f"announcement:{announcement.pk}", data={"event": event})
    start(type="notifications.fan_out", input={"announcement": announcement.pk})


def fan_out(*, announcement_id: int, progress: Any = None) -> int:
    """Write a notification for each subscriber and channel, in batches, each its own transaction.

    May be run again after a kill: the unique constraint lets each recipient have one.
    """
    announcement = Announcement.objects.get(pk=announcement_id)
    subscriptions = (
        Subscription.objects.filter(election__in=["", announcement.election], events__contains=[announcement.event])
        .select_related("user", "user__notification_preferences")
        .order_by("pk")
    )
    total, last, made = subscriptions.count(), 0, 0
    seen = 0
    while batch := list(subscriptions.filter(pk__gt=last)[: settings.NOTIFICATIONS_BATCH]):
        last = batch[-1].pk
        made += write_batch(announcement, batch)
        seen += len(batch)
        kick()
        if progress:
            progress(done=seen, total=max(total, seen), message="recipients")
    with transaction.atomic():
        recipients = Notification.objects.filter(event=announcement.event, election=announcement.election).count()
        Announcement.objects.filter(pk=announcement_id).update(fanned_out_at=timezone.now(), recipients=recipients)
        record(
            action="notifications.fanned_out",
            target=f"announcement:{announcement_id}",
            data={"event": announcement.event, "recipients": recipients},
        )
    return made


@transaction.atomic
def write_batch(announcement: Announcement, batch: Sequence[Subscription]) -> int:
    """Insert a batch's notifications with one statement; returns how many are new."""
    users = {subscription.user_id for subscription in batch}
    contacts = {(c.user_id, c.channel): c for c in Contact.objects.filter(user_id__in=users)}
    now = timezone.now()
    rows = []
    for subscription in batch:
        user = subscription.user
        if not user.is_active:
            continue
        preferences = getattr(user, "notification_preferences", None) or Preferences(user=user)
        for channel in subscription.channels:
            address = address_for(user=user, channel=channel, contact=contacts.get((user.pk, channel)))
            if not address:
                continue
            rows.append(
                Notification(
                    event=announcement.event,
                    election=announcement.election,
                    user=user,
                    channel=channel,
                    address=address,
                    language=preferences.language,
                    time_zone=preferences.time_zone,
                    payload=announcement.context,
                    due_at=after_quiet_hours(now, preferences),
                    expires_at=announcement.expires_at,
                )
            )
    ids = [row.pk for row in rows]
    Notification.objects.bulk_create(rows, ignore_conflicts=True)
    return Notification.objects.filter(pk__in=ids).count()


def after_quiet_hours(moment: datetime, preferences: Preferences) -> datetime:
    """Return the moment itself, or the end of the quiet hours that it falls into."""
    start_time, end_time = preferences.quiet_from, preferences.quiet_until
    if start_time is None or end_time is None or start_time == end_time:
        return moment
    local = moment.astimezone(ZoneInfo(preferences.time_zone))
    clock = local.time().replace(tzinfo=None)
    is_over_midnight = start_time > end_time
    is_after_start, is_before_end = clock >= start_time, clock < end_time
    is_quiet = (is_after_start or is_before_end) if is_over_midnight else (is_after_start and is_before_end)
    if not is_quiet:
        return moment
    day = local.date() + timedelta(days=1) if is_over_midnight and clock >= start_time else local.date()
    return datetime.combine(day, time(end_time.hour, end_time.minute, end_time.second), tzinfo=local.tzinfo)
