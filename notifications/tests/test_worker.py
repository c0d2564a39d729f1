"""Real workers, killed while they send, and a broker that restarts: each message still arrives once."""

import os
import signal
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest
from celery import current_app
from django.utils import timezone

from config.celery import app
from deploy.local.services import start_redis
from jobs.tests.worker import celery_worker, eventually
from notifications.models import Notification
from notifications.services.kicking import send
from notifications.tests.factories import notification
from notifications.tests.mocks import SENDGRID_KEY, Mock

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def worker(folder: Path, mock: Mock, **env: str):
    settings = {
        "NOTIFICATIONS_EMAIL_PROVIDER": "sendgrid",
        "SENDGRID_API_KEY": SENDGRID_KEY,
        "SENDGRID_API_URL": f"{mock.url}/v3/",
        "SENDGRID_WEBHOOK_KEY": "x",
        "NOTIFICATIONS_RETRY_SECONDS": "0",
        "NOTIFICATIONS_SETTLE_SECONDS": "0",
        "NOTIFICATIONS_TIMEOUT_SECONDS": "60",
        "NOTIFICATIONS_EMAILS_PER_SECOND": "1000",
    }
    return celery_worker(folder, queues="notifications", include="", concurrency=2, env=settings | env)


def all_sent() -> bool:
    return not Notification.objects.exclude(status="sent").exists()


def test_a_worker_killed_while_the_provider_answers_doubles_nothing(service_folder, sendgrid):
    sendgrid.answers.append("hang")
    sendgrid.hang_seconds = 120
    row = notification()
    with worker(service_folder, sendgrid) as first:
        send()
        eventually(lambda: sendgrid.taken, "the provider has the message")
        os.killpg(first.process.pid, signal.SIGKILL)
        first.process.wait()
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("sending", 1)
    Notification.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    others = [notification() for _ in range(20)]
    with worker(service_folder, sendgrid):
        # Delivered again and again, and to several processes at once.
        for _ in range(5):
            send()
        eventually(lambda: all_sent() or send() is not None, "all are sent")
    row.refresh_from_db()
    assert [error["code"] for error in row.errors] == ["worker_lost"]
    assert row.provider_message_id.startswith(sendgrid.taken[0]["id"])
    counts = Counter(taken["to"] for taken in sendgrid.taken)
    assert len(counts) == len(others) + 1
    assert set(counts.values()) == {1}


def test_a_broker_that_restarts_loses_and_doubles_nothing(service_folder, sendgrid, monkeypatch):
    broker = start_redis(service_folder / "broker")
    port = int(broker.url.rpartition(":")[2].split("/")[0])
    monkeypatch.setattr(app.conf, "broker_url", broker.url)
    monkeypatch.setattr(app.conf, "broker_write_url", broker.url)
    monkeypatch.setattr(app, "_pool", None)
    monkeypatch.setattr(app.amqp, "_producer_pool", None)
    assert current_app.conf.broker_url == broker.url
    try:
        notification()
        with worker(service_folder, sendgrid, CELERY_BROKER_URL=broker.url):
            send()
            eventually(all_sent, "the first is sent")
            notification()
            broker.stop()
            send()
            broker = start_redis(service_folder / "broker", port=port)
            notification()

            # What the beat does each ten seconds.
            eventually(lambda: send() or all_sent(), "the others are sent")
    finally:
        broker.stop()
    counts = Counter(taken["to"] for taken in sendgrid.taken)
    assert len(counts) == 3
    assert set(counts.values()) == {1}
