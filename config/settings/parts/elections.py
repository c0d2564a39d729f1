"""Settings of `elections`."""

from typing import Any

ELECTIONS_BEAT: dict[str, dict[str, Any]] = {}
