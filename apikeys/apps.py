"""Application configuration."""

from django.apps import AppConfig


class ApiKeysConfig(AppConfig):
    name = "apikeys"
    verbose_name = "API keys"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Read limits and peppers once, so that a wrong entry stops the start and not a request."""
        from django.conf import settings

        from apikeys.services import default_limit, parse_rules, peppers

        default_limit()
        parse_rules(tuple(settings.RATE_LIMIT_ROUTES))
        peppers()
