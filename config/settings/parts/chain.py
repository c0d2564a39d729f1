"""Settings of `chain`."""

from typing import Any

CHAIN_BEAT: dict[str, dict[str, Any]] = {}
