"""Application configuration: starts what belongs to every process."""

from django.apps import AppConfig
from django.conf import settings


class ConfigConfig(AppConfig):
    name = "config"

    def ready(self) -> None:
        from config import metrics

        if settings.METRICS_PORT:
            metrics.serve_on_port(settings.METRICS_PORT)
