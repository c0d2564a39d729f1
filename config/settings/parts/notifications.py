"""Settings of `notifications`."""

from typing import Any

NOTIFICATIONS_BEAT: dict[str, dict[str, Any]] = {}
