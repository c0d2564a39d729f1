"""Settings of `apikeys`."""

from typing import Any

APIKEYS_BEAT: dict[str, dict[str, Any]] = {}
