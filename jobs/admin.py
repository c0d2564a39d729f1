"""Django admin of `jobs`: to look at, and to cancel."""

from typing import cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from accounts.admin_base import ReadOnlyAdmin, ReadOnlyInline
from accounts.models import User
from audit.admin_base import abbreviated, confirmed, copyable, formatted_json
from jobs.exceptions import JobAlreadyFinished
from jobs.models import Job, JobStep
from jobs.services import cancel


class JobStepInline(ReadOnlyInline):
    model = JobStep
    fields = readonly_fields = ("name", "done_at", "result")


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("short_id", "type", "shown_status", "attempts", "owner", "created_at", "finished_at")
    list_filter = ("status", "is_parked", "queue", "type")
    search_fields = ("id", "type", "idempotency_key", "request_id")
    search_help_text = "ID, type, idempotency key or request ID"
    ordering = ("-created_at",)
    list_select_related = ("owner",)
    # An input may be large, and is its owner's business.
    fields = (
        "shown_id", "type", "status", "queue", "owner", "progress", "attempts", "max_attempts", "is_parked",
        "shown_problem",
        "created_at", "enqueued_at", "started_at", "attempt_started_at", "finished_at", "lease_expires_at",
        "cancel_requested_at", "idempotency_key", "request_id", "shown_input_digest",
    )  # fmt: skip
    readonly_fields = fields
    inlines = [JobStepInline]
    actions = ["cancel_jobs"]  # type: ignore[assignment]

    @display(description="Job", ordering="id")
    def short_id(self, job: Job) -> str:
        return abbreviated(job.pk)

    @display(description="ID")
    def shown_id(self, job: Job) -> str:
        return copyable(job.pk, is_whole=True)

    @display(description="Input digest")
    def shown_input_digest(self, job: Job) -> str:
        return copyable(job.input_digest, is_whole=True)

    @display(description="Progress")
    def progress(self, job: Job) -> str:
        counted = f"{job.progress_done} of {job.progress_total}" if job.progress_total is not None else ""
        return ", ".join(part for part in (counted, job.progress_message) if part) or "–"

    @display(description="Problem")
    def shown_problem(self, job: Job) -> str:
        return formatted_json(job.problem)

    @display(
        description="Status",
        ordering="status",
        label={"queued": "info", "running": "warning", "succeeded": "success", "failed": "danger"},
    )
    def shown_status(self, job: Job) -> str:
        return job.status

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    @admin.action(description="Cancel these jobs", permissions=["cancel"])
    @confirmed("Queued jobs never start, running ones stop at their next step. Those that have ended stay as they are.")
    def cancel_jobs(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        asked = 0
        for job in jobs:
            try:
                cancel(job_id=job.pk, by=cast(User, request.user))
                asked += 1
            except JobAlreadyFinished:
                continue
        messages.info(request, f"{asked} of {len(jobs)} were cancelled or asked to stop; the others had ended.")


@admin.register(JobStep)
class JobStepAdmin(ReadOnlyAdmin):
    list_display = ("job", "name", "done_at")
    fields = ("job", "name", "done_at", "shown_result")
    readonly_fields = fields
    search_fields = ("job__id", "name")
    search_help_text = "A job's ID, or a step's name"
    list_select_related = ("job",)

    @display(description="Result")
    def shown_result(self, step: JobStep) -> str:
        return formatted_json(step.result)
