"""Jobs run once, are fenced, retried, parked, limited and cancelled."""

import threading
import uuid

import pytest
from django.db import connection, transaction
from django.utils import timezone
from django_celery_results.models import TaskResult
from rest_framework.exceptions import APIException

from accounts.tests.factories import UserFactory
from audit.models import Entry
from jobs.exceptions import JobCancelled, LeaseLost
from jobs.models import Job, JobStatus, JobStep
from jobs.selectors import get_result
from jobs.services import cancel, run_job, start
from jobs.services.running import JobRun, LeaseHeld, claim, succeed
from jobs.tests.factories import job_type
from jobs.tests.inline import expire_lease, run_queued_jobs


def run_once(job: Job) -> Job:
    run_job(job_id=job.pk, has_lease_thread=False)
    job.refresh_from_db()
    return job


@pytest.mark.django_db
def test_a_job_succeeds_with_its_result_in_celery_results() -> None:
    with job_type():
        job = run_once(start(type="tests.noop", input={"a": 1}))
    assert job.status == JobStatus.SUCCEEDED
    assert job.attempts == 1
    assert get_result(job=job) == ({"echo": {"a": 1}}, False)
    assert TaskResult.objects.get(task_id=str(job.pk)).task_name == "tests.noop"
    assert list(Entry.objects.order_by("created_at").values_list("action", flat=True)) == [
        "jobs.job.started",
        "jobs.job.succeeded",
    ]


@pytest.mark.django_db
def test_a_job_delivered_twice_runs_once() -> None:
    calls = []
    with job_type(handler=lambda run, value: calls.append(1)):
        job = start(type="tests.noop", input={})
        run_once(job)
        assert run_job(job_id=job.pk, has_lease_thread=False) is None
    assert calls == [1]


@pytest.mark.django_db
def test_a_running_job_is_not_run_by_another_worker_until_its_lease_expires() -> None:
    with job_type():
        job = start(type="tests.noop", input={})
        first = claim(job_id=job.pk)
        with pytest.raises(LeaseHeld):
            run_job(job_id=job.pk, has_lease_thread=False)
        expire_lease(job)
        assert run_once(job).attempts == 2
        # The first worker wakes up: it may neither end the job nor have effects.
        assert first is not None
        old = JobRun(job=first)
        assert succeed(run=old, job_type=job_type_of(first), result={"late": True}) is None
        with pytest.raises(LeaseLost):
            old.once("effect", lambda: pytest.fail("an effect of a worker that lost its lease"))
    assert get_result(job=job)[0] == {"echo": {}}


def job_type_of(job: Job):
    from jobs.services import get_job_type

    return get_job_type(job.type)


@pytest.mark.django_db
def test_a_step_has_its_effect_once_over_attempts() -> None:
    effects = []

    def handler(run, value):
        number = run.once("count", lambda: effects.append(1) or len(effects))
        if run.attempt < 3:
            raise ConnectionError("node went away")
        return {"number": number}

    with job_type(handler=handler):
        job = start(type="tests.noop", input={})
        run_queued_jobs()
    job.refresh_from_db()
    assert effects == [1]
    assert job.attempts == 3
    assert get_result(job=job)[0] == {"number": 1}
    assert JobStep.objects.filter(job=job).count() == 1


@pytest.mark.django_db
def test_a_job_that_always_fails_is_parked_with_its_reason() -> None:
    def handler(run, value):
        raise ZeroDivisionError("no")

    with job_type(handler=handler):
        job = start(type="tests.noop", input={})
        run_queued_jobs()
    job.refresh_from_db()
    assert (job.status, job.is_parked, job.attempts) == (JobStatus.FAILED, True, 3)
    assert job.problem == {
        "code": "attempts_exhausted",
        "detail": "Failed in each of 3 attempts, last by ZeroDivisionError.",
    }


@pytest.mark.django_db
def test_a_job_that_kills_its_worker_each_time_is_parked() -> None:
    with job_type():
        job = start(type="tests.noop", input={})
        for _ in range(3):
            assert claim(job_id=job.pk)
            expire_lease(job)
        assert run_job(job_id=job.pk, has_lease_thread=False) is None
    job.refresh_from_db()
    assert job.is_parked
    assert job.problem["code"] == "worker_lost"


class Refused(APIException):
    status_code = 409
    default_code = "already_done"
    default_detail = "It is done already."


@pytest.mark.django_db
def test_a_job_that_fails_after_it_was_called_off_is_cancelled_and_not_tried_again() -> None:
    user = UserFactory()

    def handler(run, value):
        cancel(job_id=run.job_id, by=user)
        raise RuntimeError("the node went away meanwhile")

    with job_type(handler=handler):
        job = start(type="tests.noop", input={}, owner=user)
        assert run_job(job_id=job.pk, has_lease_thread=False) == JobStatus.CANCELLED
    job.refresh_from_db()
    assert (job.status, job.attempts) == (JobStatus.CANCELLED, 1)
    assert Entry.objects.filter(target=f"job:{job.pk}").order_by("pk").values_list("action", flat=True).last() == (
        "jobs.job.cancelled"
    )


@pytest.mark.django_db
def test_a_refusal_fails_at_once_with_its_code() -> None:
    def handler(run, value):
        raise Refused

    with job_type(handler=handler):
        job = run_once(start(type="tests.noop", input={}))
    assert (job.status, job.is_parked, job.attempts) == (JobStatus.FAILED, False, 1)
    assert job.problem == {"code": "already_done", "detail": "It is done already."}


@pytest.mark.django_db
def test_an_unknown_type_is_parked_not_lost() -> None:
    with job_type():
        job = start(type="tests.noop", input={})
    run_once(job)
    assert job.is_parked
    assert job.problem["code"] == "unknown_job_type"


@pytest.mark.django_db
def test_memory_past_the_limit_fails_the_job_and_leaves_the_worker_unlimited() -> None:
    def handler(run, value):
        return {"size": len(bytearray(300_000_000))}

    with job_type(handler=handler, memory_limit_mb=100):
        job = run_once(start(type="tests.noop", input={}))
    assert job.problem["code"] == "memory_limit_exceeded"
    assert len(bytearray(300_000_000)) == 300_000_000


@pytest.mark.django_db
def test_progress_is_written_and_a_cancelled_job_stops_at_its_next_look() -> None:
    def handler(run, value):
        run.progress(done=1, total=3, message="first")
        Job.objects.filter(pk=run.job_id).update(cancel_requested_at=timezone.now())
        run.cancel_checked_at = 0
        run.check_cancelled()
        pytest.fail("ran on")

    with job_type(handler=handler):
        job = run_once(start(type="tests.noop", input={}))
    assert job.status == JobStatus.CANCELLED
    assert (job.progress_done, job.progress_total, job.progress_message) == (1, 3, "first")


@pytest.mark.django_db
def test_a_job_that_is_gone_is_no_error() -> None:
    assert run_job(job_id=uuid.uuid4(), has_lease_thread=False) is None


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_run_a_job_once(settings) -> None:
    calls: list[int] = []
    gate = threading.Event()

    def handler(run, value):
        calls.append(1)
        gate.wait(20)

    outcomes: list[object] = []

    def work() -> None:
        try:
            outcomes.append(run_job(job_id=job.pk))
        except LeaseHeld:
            outcomes.append("held")
            gate.set()
        finally:
            connection.close()

    with job_type(handler=handler):
        job = start(type="tests.noop", input={})
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert calls == [1]
    assert sorted(map(str, outcomes)) == ["held", "succeeded"]


@pytest.mark.django_db(transaction=True)
def test_the_lease_thread_renews_and_notices_a_cancellation(settings) -> None:
    settings.JOBS_LEASE_SECONDS = 1

    def handler(run, value):
        first = Job.objects.get(pk=run.job_id).lease_expires_at
        for _ in range(1000):
            if Job.objects.get(pk=run.job_id).lease_expires_at > first:
                break
            threading.Event().wait(0.05)
        else:
            pytest.fail("not renewed")
        Job.objects.filter(pk=run.job_id).update(cancel_requested_at=timezone.now())
        assert run.lease.is_cancelled.wait(60)
        with pytest.raises(JobCancelled):
            run.progress(done=1)
        raise JobCancelled

    with job_type(handler=handler):
        job = start(type="tests.noop", input={})
        assert run_job(job_id=job.pk) == JobStatus.CANCELLED


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_start_leaves_nothing() -> None:
    def start_and_fail() -> None:
        with transaction.atomic():
            start(type="tests.noop", input={})
            raise ZeroDivisionError

    with job_type(), pytest.raises(ZeroDivisionError):
        start_and_fail()
    assert not Job.objects.exists()
    assert not Entry.objects.exists()
