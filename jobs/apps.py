"""Application configuration."""

from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class JobsConfig(AppConfig):
    name = "jobs"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Load every app's `tasks`, which fill the registry, in every process that may start a job."""
        autodiscover_modules("tasks")
