"""Reads of jobs, and their row locks."""

import base64
import json
import uuid
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet
from django_celery_results.models import TaskResult
from rest_framework.exceptions import ValidationError

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


def list_job_page(
    *,
    viewer: User,
    status: str = "",
    type: str = "",  # noqa: A002
    first: int = 50,
    after: str = "",
) -> tuple[list[Job], list[str], bool]:
    """List a page of `list_jobs` with each job's cursor, and whether more follow; results are read in one query.

    Raises ValidationError, naming the parameter, for a size out of range and for what is no cursor.
    """
    if not 1 <= first <= 100:
        raise ValidationError({"first": ["Ask for 1 to 100."]}, code="out_of_range")
    jobs = list_jobs(viewer=viewer, status=status, type=type).order_by("-created_at", "id")
    if after:
        try:
            moment, _, key = base64.urlsafe_b64decode(after.encode("ascii")).decode("ascii").partition(" ")
            created_at, pk = datetime.fromisoformat(moment), uuid.UUID(key)
        except ValueError:
            raise ValidationError({"after": ["This is no cursor of ours."]}, code="invalid_cursor") from None
        if created_at.tzinfo is None:
            raise ValidationError({"after": ["This is no cursor of ours."]}, code="invalid_cursor")
        jobs = jobs.filter(Q(created_at__lt=created_at) | Q(created_at=created_at, pk__gt=pk))
    found = list(jobs[: first + 1])
    page = found[:first]
    succeeded = [str(job.pk) for job in page if job.status == JobStatus.SUCCEEDED]
    results: dict[str, Any] = {}
    if succeeded:
        results = dict(TaskResult.objects.filter(task_id__in=succeeded).values_list("task_id", "result"))
    for job in page:
        stored = results.get(str(job.pk))
        is_expired = job.status == JobStatus.SUCCEEDED and stored is None
        job.found_result = (None if stored is None else json.loads(stored), is_expired)  # type: ignore[attr-defined]
    cursors = [base64.urlsafe_b64encode(f"{job.created_at.isoformat()} {job.pk}".encode()).decode() for job in page]
    return page, cursors, len(found) > first
