"""Old notifications go; what still waits, and the audit entries, stay."""

from datetime import timedelta

import pytest
from django.utils import timezone

from audit.models import Entry
from notifications.models import Notification
from notifications.services import deliver_due, purge
from notifications.tests.factories import notification

pytestmark = pytest.mark.django_db


def test_old_settled_notifications_are_purged_and_their_audit_entries_stay(settings):
    old, waiting = notification(), notification()
    Notification.objects.filter(pk=waiting.pk).update(due_at=timezone.now() + timedelta(days=1))
    deliver_due()
    assert purge() == 0
    long_ago = timezone.now() - timedelta(days=settings.NOTIFICATIONS_RETENTION_DAYS + 1)
    Notification.objects.update(created_at=long_ago)
    assert purge() == 1
    assert [row.pk for row in Notification.objects.all()] == [waiting.pk]
    assert Entry.objects.filter(target=f"notification:{old.pk}", action="notifications.notification.sent").exists()
    assert Entry.objects.get(action="notifications.purged").data == {"notifications": 1}
    assert purge() == 0
