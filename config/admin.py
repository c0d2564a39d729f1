"""Admins of other packages' models, brought under the staff's rules."""

from django.contrib import admin
from django.contrib.auth.models import Group
from django_celery_results.models import GroupResult, TaskResult

from accounts.admin_base import ReadOnlyAdmin


class TaskResultAdmin(ReadOnlyAdmin):
    list_display = ["task_id", "task_name", "status", "worker", "date_created", "date_done"]
    list_filter = ["status", "task_name", "date_done"]
    search_fields = ["task_id"]
    search_help_text = "A job's ID"
    date_hierarchy = "date_done"
    # Arguments and results may hold what only the job's owner may see.
    fields = ["task_id", "task_name", "status", "worker", "content_type", "date_created", "date_started", "date_done"]


# Those packages' own admins, registered before ours, let anybody with the permission edit; roles replace groups.
for model in (Group, TaskResult, GroupResult):
    if admin.site.is_registered(model):
        admin.site.unregister(model)
admin.site.register(TaskResult, TaskResultAdmin)
