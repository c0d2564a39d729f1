"""Makes API keys for tests."""

from typing import Any

from accounts.models import User
from accounts.tests.factories import UserFactory
from apikeys.models import ApiKey
from apikeys.services import create_api_key


def make_key(*, owner: User | None = None, role: str = "admin", **values: Any) -> tuple[ApiKey, str]:
    """Make a key through the service; returns the row and the plaintext."""
    values = {"name": "a program", "scopes": ["elections:read"], "actor": "system:test"} | values
    return create_api_key(owner=owner or UserFactory(role=role), **values)


def api_key(text: str) -> dict[str, str]:
    """Return the headers that carry a key."""
    return {"Authorization": f"Api-Key {text}"}
