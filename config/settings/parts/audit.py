"""Settings of `audit`."""

from typing import Any

AUDIT_BEAT: dict[str, dict[str, Any]] = {}
