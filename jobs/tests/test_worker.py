"""A real worker, killed and cancelled in earnest."""

import os
import signal
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import connection
from redis import Redis

from accounts.tests.factories import UserFactory
from audit.models import Entry
from jobs.exceptions import QueueFull
from jobs.models import Job, JobStatus
from jobs.selectors import get_result
from jobs.services import cancel, recover, start
from jobs.services.inputs import sealed_name
from jobs.tests import worker_types
from jobs.tests.worker import celery_worker, eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
assert worker_types


@pytest.fixture(autouse=True)
def _short_lease(settings) -> None:
    settings.JOBS_LEASE_SECONDS = 2


def has_ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.is_finished


def is_running(job: Job) -> bool:
    job.refresh_from_db()
    return job.status == JobStatus.RUNNING


def test_a_worker_runs_retries_cancels_and_survives(service_folder: Path, settings) -> None:
    """One worker for several stories: starting one takes seconds."""
    user = UserFactory()
    with celery_worker(service_folder) as worker:
        done = start(type="tests.echo", input={"name": "echo"})
        eventually(lambda: has_ended(done), "the echo has ended")
        assert done.status == JobStatus.SUCCEEDED
        assert get_result(job=done)[0]["pid"] not in (os.getpid(), worker.process.pid)

        # A second delivery of the same message does nothing.
        current_app.send_task("jobs.run", args=[str(done.pk)], queue="default")

        # Its process is killed after the effect: it runs again, without a second effect.
        killed = start(type="tests.kill_once", input={"name": "killed"})
        eventually(lambda: has_ended(killed) or recover() is None, "the killed job has ended")
        assert (killed.status, killed.attempts) == (JobStatus.SUCCEEDED, 2)
        assert get_result(job=killed)[0] == {"effects": 1, "attempt": 2}
        assert cache.get("tests:killed") == 1
        assert cache.get("tests:echo") == 1

        # Poison: kills its worker each time, and is parked.
        poison = start(type="tests.kill_always", input={"name": "poison"})
        eventually(lambda: has_ended(poison) or recover() is None, "the poison is parked")
        assert (poison.status, poison.is_parked, poison.problem["code"]) == (JobStatus.FAILED, True, "worker_lost")
        assert cache.get("tests:poison") == 2

        # Cancelled while it runs, although it never looks.
        endless = start(type="tests.wait", input={"name": "endless"}, owner=user)
        eventually(lambda: cache.get("tests:endless"), "the endless job runs")

        # Meanwhile one more may wait; a running one takes no place in the queue, a cancelled one gives its back.
        settings.JOBS_QUEUE_LIMIT = 1
        waiting = start(type="tests.echo", input={"name": "waiting"}, owner=user)
        with pytest.raises(QueueFull):
            start(type="tests.echo", input={"name": "refused"}, owner=user)
        assert cancel(job_id=waiting.pk, by=user).status == JobStatus.CANCELLED
        patient = start(type="tests.echo", input={"name": "patient"}, owner=user)
        settings.JOBS_QUEUE_LIMIT = 1000

        assert cancel(job_id=endless.pk, by=user).status == JobStatus.RUNNING
        eventually(lambda: has_ended(endless), "the endless job was interrupted")
        assert endless.status == JobStatus.CANCELLED
        eventually(lambda: has_ended(patient), "the patient job has ended")
        assert (patient.status, cache.get("tests:waiting"), cache.get("tests:refused")) == (
            JobStatus.SUCCEEDED,
            None,
            None,
        )

        slow = start(type="tests.wait_briefly", input={"name": "slow"})
        eventually(lambda: has_ended(slow), "the slow job was ended")
        assert slow.problem["code"] == "time_limit_exceeded"

        stubborn = start(type="tests.endure", input={"name": "stubborn"})
        eventually(lambda: has_ended(stubborn) or recover() is None, "the stubborn job was killed")
        assert stubborn.problem["code"] == "time_limit_exceeded"
        assert (stubborn.attempts, cache.get("tests:stubborn")) == (1, 1)

        # After all that the worker still works.
        last = start(type="tests.echo", input={"name": "last"})
        eventually(lambda: has_ended(last), "the last job has ended")
        assert last.status == JobStatus.SUCCEEDED


def test_a_whole_worker_killed_by_sigkill_leaves_its_job_to_the_next(service_folder: Path) -> None:
    with celery_worker(service_folder) as worker:
        job = start(type="tests.wait", input={"name": "orphan"})
        eventually(lambda: cache.get("tests:orphan"), "the job runs")
        os.killpg(worker.process.pid, signal.SIGKILL)
        worker.process.wait()
    Job.objects.filter(pk=job.pk).update(type="tests.echo")
    eventually(lambda: recover()["requeued"], "the lease has expired")
    with celery_worker(service_folder):
        eventually(lambda: has_ended(job), "another worker has run it")
    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2)


def test_jobs_that_the_broker_forgot_are_sent_again(service_folder: Path, settings) -> None:
    job = start(type="tests.echo", input={"name": "forgotten"})
    with Redis.from_url(django_settings.CELERY_BROKER_URL) as broker:
        assert broker.llen("default") == 1
        settings.JOBS_RESEND_AFTER_SECONDS = 0
        assert not recover()["resent"]
        broker.flushdb()
        assert recover()["resent"] == 1
        assert broker.llen("default") == 1
    assert Entry.objects.get(action="jobs.resent").data == {"jobs": 1}
    with celery_worker(service_folder):
        eventually(lambda: has_ended(job), "it has run")
    assert job.status == JobStatus.SUCCEEDED


def test_a_secret_input_appears_nowhere(service_folder: Path, caplog) -> None:
    """Grep every table, every key of Redis and the worker's log, while the job waits and after it failed."""
    secret = "witness-5d1a6cbd9e"
    job = start(type="tests.leak", input={"name": "leak", "witness": secret})

    def assert_nowhere() -> None:
        with connection.cursor() as cursor:
            for table in connection.introspection.table_names(cursor):
                cursor.execute(f'SELECT count(*) FROM "{table}" AS row WHERE row::text LIKE %s', [f"%{secret}%"])
                assert cursor.fetchone() == (0,), table
        with Redis.from_url(django_settings.REDIS_URL) as redis:
            for key in redis.scan_iter():
                assert secret.encode() not in redis.dump(key), key
                kind = redis.type(key)
                if kind == b"list":
                    assert secret not in str(redis.lrange(key, 0, -1))
        assert secret not in caplog.text

    assert cache.get(sealed_name(job.pk))
    assert_nowhere()
    with celery_worker(service_folder) as worker:
        eventually(lambda: has_ended(job), "the leaking job has failed")
        log = Path(worker.url).read_text()
    assert job.problem == {
        "code": "attempts_exhausted",
        "detail": "Failed in each of 2 attempts, last by FileNotFoundError.",
    }
    assert "FileNotFoundError" in log
    assert secret not in log
    assert_nowhere()
    assert cache.get(sealed_name(job.pk)) is None
