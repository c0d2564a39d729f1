"""Checks of the settings that can only fail at start, not at somebody's sign-in."""

from accounts.services.keys import signing_keys
from accounts.services.providers import list_providers
from accounts.services.sealing import fernet


def check_configuration() -> None:
    """Raise ImproperlyConfigured, naming the setting, for unreadable keys and providers that are not safe."""
    signing_keys()
    fernet()
    list_providers()
