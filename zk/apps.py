"""Application configuration."""

from django.apps import AppConfig


class ZkConfig(AppConfig):
    name = "zk"
    default_auto_field = "django.db.models.BigAutoField"
