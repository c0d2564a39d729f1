"""Clears old notifications; their audit entries stay."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit.services import record
from notifications.models import UNSETTLED, Notification

BATCH = 5000


def purge() -> int:
    """Delete settled notifications older than NOTIFICATIONS_RETENTION_DAYS, in batches; returns how many."""
    before = timezone.now() - timedelta(days=settings.NOTIFICATIONS_RETENTION_DAYS)
    total = 0
    while True:
        with transaction.atomic():
            old = (
                Notification.objects.filter(created_at__lt=before).exclude(status__in=UNSETTLED).order_by("created_at")
            )
            keys = list(old.values_list("pk", flat=True)[:BATCH])
            if not keys:
                return total
            Notification.objects.filter(pk__in=keys).delete()
            record(action="notifications.purged", actor="system:worker", data={"notifications": len(keys)})
        total += len(keys)
