"""Settings of `elections`."""

from typing import Any

from environs import validate

from config.settings.env import env

# How final a fact must be before subscribers hear of it: latest, safe or finalized.
ELECTIONS_ANNOUNCE_FINALITY: str = env.str(
    "ELECTIONS_ANNOUNCE_FINALITY", "safe", validate=validate.OneOf(["latest", "safe", "finalized"])
)
# Subscribers do not hear of what happened longer ago: a new contract's history may hold hundreds of elections.
ELECTIONS_ANNOUNCE_MAX_AGE_SECONDS: int = env.int("ELECTIONS_ANNOUNCE_MAX_AGE_SECONDS", 86_400)
# "Closing soon" is announced this long before the end.
ELECTIONS_CLOSING_LEAD_SECONDS: int = env.int("ELECTIONS_CLOSING_LEAD_SECONDS", 3600)

# Registration ends this many blocks before the start, so that the census root is on chain in time.
ELECTIONS_CENSUS_CLOSING_BLOCKS: int = env.int("ELECTIONS_CENSUS_CLOSING_BLOCKS", 10, validate=validate.Range(min=1))
# Keys the hash under which a person stands in a census; changed while registration is open, it would let people
# register twice. Production refuses this one.
CENSUS_KEY: str = env.str("CENSUS_KEY", "insecure-development-census-key")

ELECTIONS_BEAT: dict[str, dict[str, Any]] = {}
