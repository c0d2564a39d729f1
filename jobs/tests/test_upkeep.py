"""What lost workers leave behind is brought back; what is old is cleared."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_celery_results.models import TaskResult

from accounts.tests.factories import UserFactory
from audit.models import Entry
from jobs.models import Job, JobStatus
from jobs.selectors import get_result
from jobs.services import purge, recover, run_job, start
from jobs.services.running import claim
from jobs.tests.factories import job_type
from jobs.tests.inline import expire_lease, run_queued_jobs


@pytest.mark.django_db
def test_results_and_old_jobs_are_purged_and_their_audit_entries_stay(settings) -> None:
    with job_type():
        job = start(type="tests.noop", input={})
        run_job(job_id=job.pk, has_lease_thread=False)
    settings.CELERY_RESULT_EXPIRES = -10
    assert purge() == {"results": 1, "jobs": 0}
    job.refresh_from_db()
    assert get_result(job=job) == (None, True)
    settings.JOBS_RETENTION_DAYS = -1
    assert purge() == {"results": 0, "jobs": 1}
    assert not TaskResult.objects.exists()
    assert Entry.objects.filter(target=f"job:{job.pk}").count() == 2


@pytest.mark.django_db
def test_results_expire_by_their_age_each_for_itself(settings) -> None:
    settings.CELERY_RESULT_EXPIRES = 7 * 24 * 3600
    with job_type():
        jobs = [start(type="tests.noop", input={}) for _ in range(2)]
        for job in jobs:
            run_job(job_id=job.pk, has_lease_thread=False)
    week = timezone.now() - timedelta(days=7, minutes=1)
    TaskResult.objects.filter(task_id=str(jobs[0].pk)).update(date_done=week)
    assert purge() == {"results": 1, "jobs": 0}
    for job in jobs:
        job.refresh_from_db()
    assert get_result(job=jobs[0]) == (None, True)
    assert get_result(job=jobs[1])[1] is False
    assert purge() == {"results": 0, "jobs": 0}
    assert Entry.objects.filter(action="jobs.purged").count() == 1


@pytest.mark.django_db
def test_a_job_whose_worker_is_lost_is_queued_again_then_parked() -> None:
    with job_type(max_attempts=2):
        job = start(type="tests.noop", input={})
        claim(job_id=job.pk)
        assert not recover()
        expire_lease(job)
        assert recover() == {"requeued": 1}
        entry = Entry.objects.get(action="jobs.job.requeued")
        assert (entry.target, entry.actor) == (f"job:{job.pk}", "system:worker")
        assert entry.data == {"type": "tests.noop", "attempts": 1, "code": "worker_lost"}
        job.refresh_from_db()
        assert job.status == JobStatus.QUEUED
        claim(job_id=job.pk)
        expire_lease(job)
        assert recover() == {"parked": 1}
    job.refresh_from_db()
    assert job.problem["code"] == "worker_lost"


@pytest.mark.django_db
def test_a_job_killed_at_its_hard_time_limit_fails_and_is_not_repeated() -> None:
    with job_type(soft_time_limit_seconds=5, time_limit_seconds=10):
        job = start(type="tests.noop", input={})
        claim(job_id=job.pk)
        Job.objects.filter(pk=job.pk).update(
            attempt_started_at=timezone.now() - timedelta(seconds=60),
            lease_expires_at=timezone.now() - timedelta(seconds=1),
        )
        assert recover() == {"timed_out": 1}
    job.refresh_from_db()
    assert (job.status, job.problem["code"]) == (JobStatus.FAILED, "time_limit_exceeded")


@pytest.mark.django_db
def test_a_cancelled_job_whose_worker_is_lost_ends_as_cancelled() -> None:
    with job_type():
        job = start(type="tests.noop", input={}, owner=UserFactory())
        claim(job_id=job.pk)
        Job.objects.filter(pk=job.pk).update(cancel_requested_at=timezone.now())
        expire_lease(job)
        assert recover() == {"cancelled": 1}
        assert not run_queued_jobs()
