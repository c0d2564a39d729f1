"""Says how the providers do, for `healthcheck` and the dashboard."""

from datetime import timedelta
from typing import Any

from django.db.models import Count, Max, Q
from django.utils import timezone

from notifications.models import Channel, Notification, Stage
from notifications.services.pacing import seconds_to_rest
from notifications.services.providers import provider_of


def provider_states() -> dict[str, dict[str, Any]]:
    """Describe each channel's provider by its last hour: `up`, `resting`, `failing` or `idle`, with counts.

    Read from the messages themselves: no provider is called.
    """
    now = timezone.now()
    recent = Notification.objects.filter(Q(attempted_at__gt=now - timedelta(hours=1)) | Q(status=Stage.QUEUED))
    rows = {
        row["channel"]: row
        for row in recent.order_by()
        .values("channel")
        .annotate(
            waiting=Count("pk", filter=Q(status=Stage.QUEUED, due_at__lte=now)),
            sent=Count("pk", filter=Q(status__in=[Stage.SENT, Stage.DELIVERED])),
            failed=Count("pk", filter=Q(status__in=[Stage.FAILED, Stage.BOUNCED], attempts__gt=0)),
            unknown=Count("pk", filter=Q(status__in=[Stage.SENDING, Stage.UNKNOWN])),
            last_sent_at=Max("sent_at"),
        )
    }
    states: dict[str, dict[str, Any]] = {}
    for channel in Channel.values:
        row: dict[str, Any] = dict(rows.get(channel) or {})
        counts: dict[str, int] = {name: row.get(name) or 0 for name in ("waiting", "sent", "failed", "unknown")}
        if seconds_to_rest(channel) > 0:
            status = "resting"
        elif counts["failed"] > counts["sent"]:
            status = "failing"
        else:
            status = "up" if counts["sent"] else "idle"
        last = row.get("last_sent_at")
        states[channel] = {
            "provider": provider_of(channel).name,
            "status": status,
            **counts,
            "last_sent_at": last.isoformat() if last else None,
        }
    return states
