"""Settings of `elections`."""

from typing import Any

from environs import validate

from config.settings.env import env

# How final a fact must be before subscribers hear of it: latest, safe or finalized.
ELECTIONS_ANNOUNCE_FINALITY: str = env.str(
    "ELECTIONS_ANNOUNCE_FINALITY", "safe", validate=validate.OneOf(["latest", "safe", "finalized"])
)
# "Closing soon" is announced this long before the end.
ELECTIONS_CLOSING_LEAD_SECONDS: int = env.int("ELECTIONS_CLOSING_LEAD_SECONDS", 3600)

ELECTIONS_BEAT: dict[str, dict[str, Any]] = {}
