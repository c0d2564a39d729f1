"""Brings back jobs that a lost worker or broker left behind, and clears old ones."""

import logging
import uuid
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any

from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from django_celery_results.models import TaskResult

from audit.services import record
from jobs.exceptions import UnknownJobType
from jobs.models import FINISHED, Job, JobStatus
from jobs.services.pushing import publish
from jobs.services.registry import get_job_type
from jobs.services.running import WORKER, finish, park, record_requeued
from jobs.services.starting import enqueue

logger = logging.getLogger(__name__)
BATCH = 500


def recover() -> Counter[str]:
    """Queue again what a lost worker ran and what a lost broker held; end what was killed at its hard time limit.

    Correct without any help of the broker: a job that is handed over twice runs once.
    """
    counts: Counter[str] = Counter()
    recover_expired(counts)
    recover_unsent(counts)
    return counts


@transaction.atomic
def recover_expired(counts: Counter[str]) -> None:
    now = timezone.now()
    expired = Job.objects.select_for_update(skip_locked=True, of=("self",)).filter(
        status=JobStatus.RUNNING, lease_expires_at__lt=now
    )
    for job in expired[:BATCH]:
        if job.cancel_requested_at:
            finish(job=job, status=JobStatus.CANCELLED)
            counts["cancelled"] += 1
        elif is_past_hard_limit(job):
            detail = "The job ran past its hard time limit and its process was killed."
            finish(job=job, status=JobStatus.FAILED, problem={"code": "time_limit_exceeded", "detail": detail})
            counts["timed_out"] += 1
        elif job.attempts >= job.max_attempts:
            park(job=job, code="worker_lost", detail=f"The worker was lost in each of {job.attempts} attempts.")
            counts["parked"] += 1
        else:
            job.status, job.lease_expires_at = JobStatus.QUEUED, None
            job.progress_message = "the worker was lost; trying again"
            job.save()
            record_requeued(job=job, code="worker_lost")
            transaction.on_commit(partial(enqueue, job_id=job.pk))
            transaction.on_commit(partial(publish, job_id=job.pk))
            counts["requeued"] += 1


def note_killed(*, job_id: uuid.UUID) -> None:
    """Note, where no database is needed, that a job's process is killed at its hard time limit."""
    cache.set(f"jobs:killed:{job_id}", True, 3600)


def is_past_hard_limit(job: Job) -> bool:
    """Tell whether a lost worker was killed at the hard limit: its parent said so, or it died at that very moment."""
    if cache.get(f"jobs:killed:{job.pk}"):
        return True
    try:
        limit = get_job_type(job.type).time_limit_seconds
    except UnknownJobType:
        return False
    assert job.attempt_started_at is not None
    assert job.lease_expires_at is not None
    last_sign_of_life = job.lease_expires_at - timedelta(seconds=settings.JOBS_LEASE_SECONDS)
    return (last_sign_of_life - job.attempt_started_at).total_seconds() >= limit - settings.JOBS_LEASE_SECONDS / 5


@transaction.atomic
def recover_unsent(counts: Counter[str]) -> None:
    """Send again what waits although the broker's queue is empty: its message was lost, or was never sent."""
    stale = timezone.now() - timedelta(seconds=settings.JOBS_RESEND_AFTER_SECONDS)
    waiting = Job.objects.filter(status=JobStatus.QUEUED)
    unsent = waiting.filter(enqueued_at__lt=stale) | waiting.filter(enqueued_at__isnull=True, created_at__lt=stale)
    depths: dict[str, int | None] = {}
    for job in unsent.order_by("created_at").only("pk", "queue")[:BATCH]:
        if job.queue not in depths:
            depths[job.queue] = broker_depth(job.queue)
        if depths[job.queue] == 0:
            enqueue(job_id=job.pk)
            counts["resent"] += 1
    if counts["resent"]:
        # The jobs are as they were; what is noted is that the broker had lost them.
        record(action="jobs.resent", actor=WORKER, data={"jobs": counts["resent"]})


def broker_depth(queue: str) -> int | None:
    """Ask the broker how many messages wait in a queue; None when it does not answer."""
    try:
        with current_app.connection_for_read() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
            channel: Any = connection.default_channel
            declared = channel.queue_declare(queue=queue, passive=True)
    except Exception as error:
        # Redis says "no such queue" for an empty one.
        if type(error).__name__ == "ChannelError":
            return 0
        logger.warning("the broker does not answer (%s)", type(error).__name__)
        return None
    return int(declared.message_count)


@transaction.atomic
def purge() -> dict[str, int]:
    """Delete results older than CELERY_RESULT_EXPIRES and ended jobs older than JOBS_RETENTION_DAYS."""
    now = timezone.now()
    results, _ = TaskResult.objects.filter(
        date_done__lt=now - timedelta(seconds=settings.CELERY_RESULT_EXPIRES)
    ).delete()
    old = Job.objects.filter(status__in=FINISHED, finished_at__lt=now - timedelta(days=settings.JOBS_RETENTION_DAYS))
    jobs = old.count()
    old.delete()
    counts = {"results": results, "jobs": jobs}
    if results or jobs:
        record(action="jobs.purged", actor=WORKER, data=counts)
    return counts
