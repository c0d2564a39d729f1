"""Celery over a real RabbitMQ, as in containers; the other tests run over Redis."""

import os
import signal

import kombu
import pytest
from django.core.cache import cache
from kombu import pools

from config import health
from config.celery import app
from deploy.local import services
from jobs.models import Job, JobStatus
from jobs.services import recover, start
from jobs.tests import worker_types
from jobs.tests.worker import celery_worker, eventually

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        not services.RABBITMQ_SERVER.exists(), reason="RabbitMQ is not installed (Debian: rabbitmq-server)"
    ),
]
assert worker_types


def forget_connections():
    pools.reset()
    app._pool = app.amqp._producer_pool = None


@pytest.fixture
def rabbitmq(service_folder, settings, monkeypatch):
    """A RabbitMQ that this process and its workers use as their broker."""
    service = services.start_rabbitmq(service_folder / "rabbitmq")
    settings.CELERY_BROKER_URL = service.url
    settings.JOBS_LEASE_SECONDS = 2
    before = {name: app.conf[name] for name in ("broker_url", "broker_read_url", "broker_write_url")}
    forget_connections()
    app.conf.update(dict.fromkeys(before, service.url))
    brokers = [service]
    yield brokers
    forget_connections()
    app.conf.update(before)
    brokers[0].stop()


def has_ended(job):
    job.refresh_from_db()
    return job.is_finished


def waiting(url, queue):
    with kombu.Connection(url) as connection, connection.channel() as channel:
        return channel.queue_declare(queue=queue, passive=True).message_count


def test_jobs_outlive_the_broker_and_the_worker(rabbitmq, service_folder, settings):
    [broker] = rabbitmq
    assert health.run_check("broker").details == {"transport": "RabbitMQ"}

    # Queued without a worker; the broker restarts: the queue is durable, the message persistent.
    kept = start(type="tests.echo", input={"name": "kept"})
    assert waiting(broker.url, "default") == 1
    broker.stop()
    assert not health.run_check("broker").is_up
    # Accepted while the broker is gone: the row waits.
    forget_connections()
    meanwhile = start(type="tests.echo", input={"name": "meanwhile"})
    assert meanwhile.status == JobStatus.QUEUED
    rabbitmq[0] = broker = services.start_rabbitmq(service_folder / "rabbitmq", port=broker.port)
    assert waiting(broker.url, "default") == 1

    with celery_worker(service_folder) as worker:
        eventually(lambda: has_ended(kept), "the job of before has ended")
        assert kept.status == JobStatus.SUCCEEDED
        # The broker never heard of this one: the housekeeping sends it again.
        settings.JOBS_RESEND_AFTER_SECONDS = 0
        recover()
        eventually(lambda: has_ended(meanwhile), "the job of meanwhile has ended")

        # Killed in the middle: acknowledged late, so the message comes back and the job runs again.
        orphan = start(type="tests.wait", input={"name": "orphan"})
        eventually(lambda: cache.get("tests:orphan"), "the job runs")
        os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
    eventually(lambda: waiting(broker.url, "default") >= 1, "the unacknowledged message is back")
    Job.objects.filter(pk=orphan.pk).update(type="tests.echo")
    with celery_worker(service_folder):
        eventually(lambda: has_ended(orphan) or recover() is None, "another worker has run it")
    assert (orphan.status, orphan.attempts) == (JobStatus.SUCCEEDED, 2)
