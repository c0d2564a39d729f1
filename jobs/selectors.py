"""Reads of jobs, and their row locks."""

import json
import uuid
from typing import Any

from django.db.models import Count, QuerySet
from django_celery_results.models import TaskResult

from accounts.models import User
from jobs.exceptions import JobNotFound
from jobs.models import Job, JobStatus


def list_jobs(*, viewer: User, status: str = "", type: str = "") -> QuerySet[Job]:  # noqa: A002
    """List the jobs that a person may see, newest first: their own, for admins all."""
    jobs = Job.objects.all() if viewer.is_admin else Job.objects.filter(owner=viewer)
    if status:
        jobs = jobs.filter(status=status)
    if type:
        jobs = jobs.filter(type=type)
    return jobs


def get_job(*, job_id: uuid.UUID, viewer: User) -> Job:
    """Get a job that a person may see; an unknown and a foreign one are both JobNotFound."""
    job = list_jobs(viewer=viewer).filter(pk=job_id).first()
    if job is None:
        raise JobNotFound
    return job


def lock_job(*, job_id: uuid.UUID) -> Job:
    """Lock a job's row for the rest of the transaction."""
    job = Job.objects.select_for_update(of=("self",)).filter(pk=job_id).first()
    if job is None:
        raise JobNotFound
    return job


def get_result(*, job: Job) -> tuple[Any, bool]:
    """Get a succeeded job's result and whether it has expired; the result is null until there is one."""
    if job.status != JobStatus.SUCCEEDED:
        return None, False
    stored = TaskResult.objects.filter(task_id=str(job.pk)).values_list("result", flat=True).first()
    if stored is None:
        return None, True
    return json.loads(stored), False


def count_unfinished() -> dict[str, dict[str, int]]:
    """Count waiting and running jobs by queue: `{"default": {"queued": 3, "running": 1}}`."""
    counts: dict[str, dict[str, int]] = {}
    unfinished = Job.objects.filter(status__in=[JobStatus.QUEUED, JobStatus.RUNNING]).order_by()
    for queue, status, number in unfinished.values_list("queue", "status").annotate(number=Count("pk")):
        counts.setdefault(queue, {"queued": 0, "running": 0})[status] = number
    return counts
