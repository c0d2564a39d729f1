"""Settings of `zk`."""

from typing import Any

ZK_BEAT: dict[str, dict[str, Any]] = {}
