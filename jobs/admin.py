"""Django admin of `jobs`: to look at, and to cancel."""

from typing import cast

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.decorators import display

from accounts.admin_base import ReadOnlyAdmin, ReadOnlyInline
from accounts.models import User
from jobs.exceptions import JobAlreadyFinished
from jobs.models import Job, JobStep
from jobs.services import cancel


class JobStepInline(ReadOnlyInline):
    model = JobStep
    fields = readonly_fields = ("name", "done_at", "result")


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    list_display = ("id", "type", "shown_status", "queue", "attempts", "owner", "created_at", "finished_at")
    list_filter = ("status", "is_parked", "queue", "type")
    search_fields = ("id", "type", "idempotency_key", "request_id")
    list_select_related = ("owner",)
    # An input may be large, and is its owner's business.
    exclude = ("input",)
    inlines = [JobStepInline]
    actions = ["cancel_jobs"]  # type: ignore[assignment]

    @display(
        description="Status",
        ordering="status",
        label={"queued": "info", "running": "warning", "succeeded": "success", "failed": "danger"},
    )
    def shown_status(self, job: Job) -> str:
        return job.status

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    @admin.action(description="Cancel", permissions=["cancel"])
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
    search_fields = ("job__id", "name")
    list_select_related = ("job",)
