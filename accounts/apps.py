"""Application configuration."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Refuse to start with keys that cannot be read or a provider that is not safe."""
        from accounts.services import check_configuration

        check_configuration()
