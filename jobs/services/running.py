"""Runs jobs: claims them, holds them to their limits, writes how they ended."""

import contextlib
import json
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django_celery_results.models import TaskResult
from prometheus_client import Histogram
from rest_framework.exceptions import APIException

from audit.context import auditing
from audit.services import record
from jobs.exceptions import JobCancelled, JobNotFound, LeaseLost, SecretInputLost, UnknownJobType
from jobs.models import Job, JobStatus, JobStep
from jobs.selectors import lock_job
from jobs.services.inputs import unseal, wipe
from jobs.services.limits import Lease, limited_memory
from jobs.services.pushing import publish
from jobs.services.registry import JobType, get_job_type
from jobs.services.starting import enqueue

logger = logging.getLogger(__name__)
WORKER = "system:worker"
JOB_SECONDS = Histogram(
    "psephos_job_seconds",
    "From a job's request to its end",
    ["type", "outcome"],
    buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, float("inf")),
)
PROGRESS_INTERVAL_SECONDS = 0.25
MAX_BACKOFF_SECONDS = 300


class JobRun:
    """One attempt at a job, as its handler sees it."""

    def __init__(self, *, job: Job, lease: Lease | None = None) -> None:
        self.job_id: uuid.UUID = job.pk
        self.attempt: int = job.attempts
        self.owner_id: uuid.UUID | None = job.owner_id
        self.lease = lease
        self.progress_written_at = 0.0
        self.cancel_checked_at = 0.0

    def progress(self, *, done: int, total: int | None = None, message: str = "") -> None:
        """Show how far the job is; written at most four times a second. Raises as check_cancelled does."""
        is_last = total is not None and done >= total
        if is_last or time.monotonic() - self.progress_written_at >= PROGRESS_INTERVAL_SECONDS:
            self.progress_written_at = time.monotonic()
            self.held().update(progress_done=done, progress_total=total, progress_message=message[:200])
            publish(job_id=self.job_id)
        self.check_cancelled()

    def check_cancelled(self) -> None:
        """Raise JobCancelled when the job was asked to stop, LeaseLost when another worker has taken it over."""
        if self.lease:
            if self.lease.is_lost.is_set():
                raise LeaseLost
            if self.lease.is_cancelled.is_set():
                raise JobCancelled
        if time.monotonic() - self.cancel_checked_at < PROGRESS_INTERVAL_SECONDS:
            return
        self.cancel_checked_at = time.monotonic()
        requested = self.held().values_list("cancel_requested_at", flat=True)
        if not requested:
            raise LeaseLost
        if requested[0] is not None:
            raise JobCancelled

    def once(self, name: str, effect: Callable[[], Any]) -> Any:
        """Run an effect on the database once for all attempts, and return its (JSON) result.

        The effect and the note that it happened commit together: an attempt after a killed worker gets the first
        result back. Raises LeaseLost when another worker has taken the job over.
        """
        with transaction.atomic():
            if not self.held().select_for_update().exists():
                raise LeaseLost
            step = JobStep.objects.filter(job_id=self.job_id, name=name).first()
            if step is None:
                step = JobStep.objects.create(job_id=self.job_id, name=name, result=effect())
        return step.result

    def held(self) -> Any:
        return Job.objects.filter(pk=self.job_id, status=JobStatus.RUNNING, attempts=self.attempt)


class LeaseHeld(Exception):
    """Another worker runs the job; it may be taken over after `seconds` unless the lease is renewed."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def run_job(*, job_id: uuid.UUID, has_lease_thread: bool = True) -> JobStatus | None:
    """Run a job once and write how it ended; returns its status, or None when there was nothing to do.

    May be called for one job any number of times, at the same time too: one caller runs it. Raises LeaseHeld while
    another one does. `has_lease_thread=False` suits tests inside one transaction.
    """
    job = claim(job_id=job_id)
    if job is None:
        return None
    job_type = get_job_type(job.type)
    lease = Lease(job_id=job.pk, attempt=job.attempts) if has_lease_thread else None
    run = JobRun(job=job, lease=lease)
    publish(job_id=job.pk)
    with auditing(request_id=job.request_id or None, actor=WORKER):
        try:
            with leased(lease), limited_memory(job_type.memory_limit_mb):
                value = unseal(job_id=job.pk) if job_type.is_secret else (job.input or {})
                result = job_type.handler(run, value)
        except LeaseLost:
            logger.warning("job %s: attempt %s was taken over by another worker", job.pk, job.attempts)
            return None
        except BaseException as error:
            return settle_error(run=run, job=job, job_type=job_type, error=error)
        return succeed(run=run, job_type=job_type, result=result)


@contextlib.contextmanager
def leased(lease: Lease | None) -> Iterator[None]:
    if lease is None:
        yield
        return
    lease.start()
    try:
        yield
    finally:
        lease.stop()


@transaction.atomic
def claim(*, job_id: uuid.UUID) -> Job | None:
    """Take a job for this worker, or return None when it has ended, was cancelled or has used up its attempts."""
    try:
        job = lock_job(job_id=job_id)
    except JobNotFound:
        logger.warning("job %s is gone", job_id)
        return None
    if job.is_finished:
        return None
    now = timezone.now()
    if job.status == JobStatus.RUNNING and job.lease_expires_at and job.lease_expires_at > now:
        raise LeaseHeld((job.lease_expires_at - now).total_seconds())
    if job.cancel_requested_at:
        finish(job=job, status=JobStatus.CANCELLED)
        return None
    try:
        job_type = get_job_type(job.type)
    except UnknownJobType:
        park(job=job, code="unknown_job_type", detail="No worker knows this job type.")
        return None
    if job.attempts >= job.max_attempts:
        detail = f"The worker was lost in each of {job.attempts} attempts."
        park(job=job, code="worker_lost", detail=detail)
        return None
    job.status = JobStatus.RUNNING
    job.attempts += 1
    job.started_at = job.started_at or now
    job.attempt_started_at = now
    job.max_attempts = job_type.max_attempts
    job.lease_expires_at = now + timedelta(seconds=settings.JOBS_LEASE_SECONDS)
    job.save()
    return job


def settle_error(*, run: JobRun, job: Job, job_type: JobType, error: BaseException) -> JobStatus | None:
    """Write how a failed attempt ended: cancelled, failed, tried again or parked. Process exits pass through."""
    if isinstance(error, SoftTimeLimitExceeded) and run.lease and run.lease.is_lost.is_set():
        return None
    if isinstance(error, JobCancelled) or (
        isinstance(error, SoftTimeLimitExceeded) and run.lease and run.lease.is_cancelled.is_set()
    ):
        return end(run=run, status=JobStatus.CANCELLED)
    if isinstance(error, SoftTimeLimitExceeded):
        detail = f"The job ran longer than {job_type.soft_time_limit_seconds} s."
        return end(run=run, status=JobStatus.FAILED, code="time_limit_exceeded", detail=detail)
    if isinstance(error, MemoryError):
        detail = f"The job needed more than {job_type.memory_limit_mb} MB of memory."
        return end(run=run, status=JobStatus.FAILED, code="memory_limit_exceeded", detail=detail)
    if isinstance(error, SecretInputLost):
        detail = "The job's secret input has expired; start the job again."
        return end(run=run, status=JobStatus.FAILED, code="secret_input_lost", detail=detail)
    if isinstance(error, APIException) and error.status_code < 500:
        code = str(getattr(error.detail, "code", error.default_code))
        detail = str(error.detail) if isinstance(error.detail, str) else json.dumps(error.detail)
        if job_type.is_secret:
            detail = str(error.default_detail) if detail != str(error.detail) else detail
        extra = dict(getattr(error, "extra", {}))
        return end(run=run, status=JobStatus.FAILED, code=code, detail=detail, extra=extra)
    if not isinstance(error, Exception):
        # SystemExit, KeyboardInterrupt: the process ends, and the job runs again when its lease has expired.
        raise error
    # A traceback's text may repeat the input.
    logger.error(
        "job %s (%s) failed in attempt %s: %s",
        job.pk,
        job.type,
        job.attempts,
        type(error).__name__,
        exc_info=None if job_type.is_secret else error,
    )
    return try_again(run=run, job_type=job_type, error=error)


@transaction.atomic
def try_again(*, run: JobRun, job_type: JobType, error: Exception) -> JobStatus | None:
    """Queue the job again after a growing pause, or park it when its attempts are used up."""
    job = lock_held(run)
    if job is None:
        return None
    reason = type(error).__name__
    if isinstance(error, APIException):
        reason = str(getattr(error.detail, "code", error.default_code))
    if job.cancel_requested_at:
        # Nobody waits through the pause for what was called off.
        finish(job=job, status=JobStatus.CANCELLED)
        return JobStatus.CANCELLED
    if job.attempts >= job.max_attempts:
        park(job=job, code="attempts_exhausted", detail=f"Failed in each of {job.attempts} attempts, last by {reason}.")
        return JobStatus.FAILED
    pause = min(job_type.retry_backoff_seconds * 2 ** (job.attempts - 1), MAX_BACKOFF_SECONDS)
    pause *= 0.75 + random.random() / 2  # noqa: S311  (jitter, not a secret)
    job.status = JobStatus.QUEUED
    job.lease_expires_at = None
    job.progress_message = f"attempt {job.attempts} failed ({reason}); trying again"[:200]
    job.enqueued_at = timezone.now() + timedelta(seconds=pause)
    job.save()
    record_requeued(job=job, code=reason)
    transaction.on_commit(partial(enqueue, job_id=job.pk, delay_seconds=pause))
    transaction.on_commit(partial(publish, job_id=job.pk))
    return JobStatus.QUEUED


@transaction.atomic
def succeed(*, run: JobRun, job_type: JobType, result: dict[str, Any] | None) -> JobStatus | None:
    """Commit the result and the end of the job together."""
    job = lock_held(run)
    if job is None:
        return None
    TaskResult.objects.update_or_create(
        task_id=str(job.pk),
        defaults={
            "task_name": job.type,
            "status": "SUCCESS",
            "result": json.dumps(result),
            "content_type": "application/json",
            "content_encoding": "utf-8",
            "date_started": job.started_at,
        },
    )
    if job.progress_total is not None:
        job.progress_done = job.progress_total
    finish(job=job, status=JobStatus.SUCCEEDED)
    return JobStatus.SUCCEEDED


@transaction.atomic
def end(
    *, run: JobRun, status: JobStatus, code: str = "", detail: str = "", extra: dict[str, Any] | None = None
) -> JobStatus | None:
    job = lock_held(run)
    if job is None:
        return None
    finish(job=job, status=status, problem={"code": code, "detail": detail, **(extra or {})} if code else None)
    return status


def lock_held(run: JobRun) -> Job | None:
    """Lock the run's job, or return None when another worker has taken it over."""
    job: Job | None = run.held().select_for_update().first()
    if job is None:
        logger.warning("job %s: attempt %s ended after it was taken over", run.job_id, run.attempt)
    return job


def record_requeued(*, job: Job, code: str) -> None:
    """Note why a job goes back to its queue."""
    data = {"type": job.type, "attempts": job.attempts, "code": code}
    record(action="jobs.job.requeued", actor=WORKER, target=f"job:{job.pk}", data=data)


def park(*, job: Job, code: str, detail: str) -> None:
    """Put a job aside with its reason: it has failed and is not tried again."""
    job.is_parked = True
    finish(job=job, status=JobStatus.FAILED, problem={"code": code, "detail": detail})


def finish(*, job: Job, status: JobStatus, problem: dict[str, Any] | None = None) -> None:
    """Write a locked job's end and its audit entry; a secret input is wiped on commit."""
    job.status = status
    job.problem = problem
    job.finished_at = timezone.now()
    job.lease_expires_at = None
    job.save()
    record(
        action=f"jobs.job.{status.value}",
        actor=WORKER,
        target=f"job:{job.pk}",
        data={"type": job.type, "attempts": job.attempts, **({"code": problem["code"]} if problem else {})},
    )
    transaction.on_commit(partial(wipe, job_id=job.pk))
    transaction.on_commit(partial(publish, job_id=job.pk))
    JOB_SECONDS.labels(job.type, status.value).observe((job.finished_at - job.created_at).total_seconds())
