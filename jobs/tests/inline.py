"""Runs queued jobs inside the test's own process and transaction, for tests that need what a job does."""

from datetime import timedelta

from django.utils import timezone

from jobs.models import Job, JobStatus
from jobs.services import run_job


def run_queued_jobs(*, limit: int = 50) -> list[Job]:
    """Run queued jobs, and those that they start, until none is left; return them as they ended.

    A job that is tried again is run again at once, without its pause.
    """
    ran: list[Job] = []
    for _ in range(limit):
        job = Job.objects.filter(status=JobStatus.QUEUED).order_by("created_at", "pk").first()
        if job is None:
            break
        run_job(job_id=job.pk, has_lease_thread=False)
        ran.append(job)
    for job in ran:
        job.refresh_from_db()
    return ran


def expire_lease(job: Job) -> None:
    """Make a running job look as if its worker had died."""
    Job.objects.filter(pk=job.pk).update(lease_expires_at=timezone.now() - timedelta(seconds=1))
