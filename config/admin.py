"""Admins of other packages' models, brought under the staff's rules."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django_celery_results.models import GroupResult, TaskResult
from unfold.decorators import display

from accounts.admin_base import ReadOnlyAdmin
from audit.admin_base import abbreviated


class TaskResultAdmin(ReadOnlyAdmin):
    list_display = ["shown_id", "shown_name", "shown_status", "worker", "shown_creation", "shown_end"]
    list_filter = ["status", "task_name", "date_done"]
    search_fields = ["task_id"]
    search_help_text = "A job's ID"
    date_hierarchy = "date_done"
    # Arguments and results may hold what only the job's owner may see.
    fields = ["task_id", "task_name", "status", "worker", "content_type", "date_created", "date_started", "date_done"]

    @display(description="Job", ordering="task_id")
    def shown_id(self, result: TaskResult) -> str:
        return abbreviated(result.task_id)

    @display(description="Type", ordering="task_name")
    def shown_name(self, result: TaskResult) -> str:
        return result.task_name or ""

    @display(
        description="State",
        ordering="status",
        label={"success": "success", "failure": "danger", "retry": "warning", "revoked": "danger"},
    )
    def shown_status(self, result: TaskResult) -> str:
        return str(result.status).lower()

    @display(description="Created at", ordering="date_created")
    def shown_creation(self, result: Any) -> datetime:
        return result.date_created

    @display(description="Done at", ordering="date_done")
    def shown_end(self, result: TaskResult) -> datetime:
        return result.date_done


# Those packages' own admins, registered before ours, let anybody with the permission edit; roles replace groups.
for model in (Group, TaskResult, GroupResult):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
admin.site.register(TaskResult, TaskResultAdmin)
