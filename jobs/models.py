"""Jobs and the steps whose effect they must not repeat."""

import uuid

from django.conf import settings
from django.db import models


class JobStatus(models.TextChoices):
    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


FINISHED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class Job(models.Model):
    """One piece of heavy work. Its result is the row in django-celery-results whose task id is the job's id.

    A running job is held by a lease that its worker renews; `attempts` fences off a worker that lost it.
    """

    id = models.UUIDField("ID", primary_key=True, default=uuid.uuid4, editable=False)
    type = models.CharField(max_length=100)
    status = models.CharField(max_length=10, choices=JobStatus, default=JobStatus.QUEUED)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="jobs"
    )
    # Null when the type's inputs are secret: those lie encrypted in Redis until the job has ended.
    input = models.JSONField(null=True, blank=True)
    input_digest = models.CharField("digest of the input", max_length=64)
    idempotency_key = models.CharField(max_length=200, blank=True)
    queue = models.CharField(max_length=30)
    progress_done = models.BigIntegerField(default=0)
    progress_total = models.BigIntegerField(null=True, blank=True)
    progress_message = models.CharField(max_length=200, blank=True)
    problem = models.JSONField(null=True, blank=True)
    is_parked = models.BooleanField("parked", default=False)
    attempts = models.PositiveIntegerField(default=0)
    max_attempts = models.PositiveIntegerField(default=3)
    request_id = models.CharField("request ID", max_length=64, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    enqueued_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    attempt_started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("-created_at", "id")
        constraints = [
            models.UniqueConstraint(
                fields=["owner", "idempotency_key"],
                condition=~models.Q(idempotency_key=""),
                nulls_distinct=False,
                name="jobs_one_job_per_idempotency_key",
            ),
            models.CheckConstraint(condition=models.Q(status__in=JobStatus.values), name="jobs_status_known"),
            models.CheckConstraint(
                condition=models.Q(status__in=FINISHED, finished_at__isnull=False)
                | (~models.Q(status__in=FINISHED) & models.Q(finished_at__isnull=True)),
                name="jobs_finished_at_set_when_finished",
            ),
        ]
        indexes = [
            models.Index(fields=["owner", "-created_at"], name="jobs_by_owner"),
            models.Index(fields=["-created_at", "id"], name="jobs_by_age"),
            models.Index(
                fields=["queue", "enqueued_at"], condition=models.Q(status=JobStatus.QUEUED), name="jobs_waiting"
            ),
            models.Index(fields=["lease_expires_at"], condition=models.Q(status=JobStatus.RUNNING), name="jobs_leased"),
        ]

    # True on an instance that an Idempotency-Key gave back instead of a new row.
    is_replay = False

    def __str__(self) -> str:
        return f"{self.type} {self.pk}"

    @property
    def is_finished(self) -> bool:
        return self.status in FINISHED


class JobStep(models.Model):
    """An effect that a job has had: committed together with it, so that another attempt skips it."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="steps")
    name = models.CharField(max_length=100)
    result = models.JSONField(null=True)
    done_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "name"], name="jobs_step_once")]

    def __str__(self) -> str:
        return f"{self.job_id} {self.name}"
