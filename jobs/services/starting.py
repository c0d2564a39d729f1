"""Starts and cancels jobs."""

import logging
import re
import uuid
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from celery import current_app
from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone
from kombu.exceptions import OperationalError

from accounts.models import User
from audit.context import current
from audit.services import record
from jobs.exceptions import (
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    JobAlreadyFinished,
    JobNotFound,
    QueueFull,
)
from jobs.models import Job, JobStatus
from jobs.selectors import lock_job
from jobs.services.inputs import check_input, digest_of, seal, wipe
from jobs.services.pushing import publish
from jobs.services.registry import JobType, get_job_type

logger = logging.getLogger(__name__)
ACCEPTED_KEY = re.compile(r"[\x21-\x7e]{1,200}")


def start(
    *,
    type: str,  # noqa: A002
    input: Any,  # noqa: A002
    owner: User | None = None,
    idempotency_key: str = "",
) -> Job:
    """Start a job by its type's name, in the caller's transaction; it is enqueued on commit.

    An owner's repeated `idempotency_key` gives back the first job (`is_replay`), or raises IdempotencyKeyReused
    when type or input differ. Raises UnknownJobType, ValidationError, InputTooLarge, and QueueFull (people's jobs
    only: the system's own are always taken).
    """
    job_type = get_job_type(type)
    canonical = check_input(job_type=job_type, value=input)
    digest = digest_of(type=type, canonical=canonical)
    if idempotency_key:
        if not ACCEPTED_KEY.fullmatch(idempotency_key):
            raise IdempotencyKeyInvalid
        earlier = find_replay(owner=owner, idempotency_key=idempotency_key, digest=digest)
        if earlier:
            return earlier
    if owner is not None:
        check_room(job_type)
    context = current.get()
    job = Job(
        type=type,
        owner=owner,
        input=None if job_type.is_secret else dict(input),
        input_digest=digest,
        idempotency_key=idempotency_key,
        queue=job_type.queue,
        max_attempts=job_type.max_attempts,
        request_id=(context.request_id if context else None) or "",
    )
    if job_type.is_secret:
        # Before the row: a committed job always finds its input. A rollback leaves it to expire.
        seal(job_id=job.pk, canonical=canonical)
    try:
        with transaction.atomic():
            job.save(force_insert=True)
            record(
                action="jobs.job.started",
                actor=f"user:{owner.pk}" if owner else None,
                target=f"job:{job.pk}",
                data={"type": type, "input_digest": digest},
            )
    except IntegrityError:
        # Another request with the same key was faster.
        wipe(job_id=job.pk)
        replay = find_replay(owner=owner, idempotency_key=idempotency_key, digest=digest)
        if replay is None:
            raise
        return replay
    transaction.on_commit(partial(enqueue, job_id=job.pk))
    return job


def find_replay(*, owner: User | None, idempotency_key: str, digest: str) -> Job | None:
    job = Job.objects.filter(owner=owner, idempotency_key=idempotency_key).first()
    if job is None:
        return None
    if job.input_digest != digest:
        raise IdempotencyKeyReused
    job.is_replay = True
    return job


def check_room(job_type: JobType) -> None:
    """Raise QueueFull when as many jobs wait in the type's queue as JOBS_QUEUE_LIMIT allows."""
    limit = settings.JOBS_QUEUE_LIMIT
    waiting = Job.objects.filter(queue=job_type.queue, status=JobStatus.QUEUED).order_by()[:limit].count()
    if waiting >= limit:
        raise QueueFull(retry_after_seconds=settings.JOBS_QUEUE_FULL_RETRY_SECONDS)


def enqueue(*, job_id: uuid.UUID, delay_seconds: float = 0) -> None:
    """Hand a queued job to the broker; does nothing for one that is no longer queued.

    When the broker does not answer, the job stays queued and `recover` hands it over later.
    """
    due = timezone.now() + timedelta(seconds=delay_seconds)
    if not Job.objects.filter(pk=job_id, status=JobStatus.QUEUED).update(enqueued_at=due):
        return
    job = Job.objects.only("type", "queue").get(pk=job_id)
    job_type = get_job_type(job.type)
    try:
        current_app.send_task(
            "jobs.run",
            args=[str(job_id)],
            task_id=str(job_id),
            queue=job.queue,
            countdown=delay_seconds or None,
            soft_time_limit=job_type.soft_time_limit_seconds,
            time_limit=job_type.time_limit_seconds,
            ignore_result=True,
            retry=False,
        )
    except (OperationalError, OSError) as error:
        logger.warning("job %s stays queued: the broker does not answer (%s)", job_id, type(error).__name__)


@transaction.atomic
def cancel(*, job_id: uuid.UUID, by: User) -> Job:
    """Cancel a job: at once while it waits; a running one is asked to stop, and ends as cancelled soon after.

    Raises JobNotFound for an unknown job and for another person's (unless an admin asks), JobAlreadyFinished.
    """
    job = lock_job(job_id=job_id)
    if job.owner_id != by.pk and not by.is_admin:
        raise JobNotFound
    if job.is_finished:
        raise JobAlreadyFinished
    now: datetime = timezone.now()
    if job.cancel_requested_at is None:
        job.cancel_requested_at = now
        if job.status == JobStatus.QUEUED:
            job.status, job.finished_at = JobStatus.CANCELLED, now
            transaction.on_commit(partial(wipe, job_id=job.pk))
        job.save(update_fields=["status", "finished_at", "cancel_requested_at"])
        record(
            action="jobs.job.cancelled" if job.is_finished else "jobs.job.cancel_requested",
            actor=f"user:{by.pk}",
            target=f"job:{job.pk}",
        )
        transaction.on_commit(partial(publish, job_id=job.pk))
    return job
