"""Every rule and every write of elections."""

from elections.events import (
    BlockRef,
    CensusRootSet,
    Change,
    Changes,
    ElectionCancelled,
    ElectionCreated,
    Event,
    Origin,
    TallyPublished,
    VoteCast,
)
from elections.services.census import (
    close_due_censuses,
    close_registration,
    rebuild_census,
    register_voter,
    scope_of,
)
from elections.services.folding import apply_events, refold
from elections.services.heads import advance_head
from elections.services.metadata import bring_metadata, store_metadata
from elections.services.publishing import publish_changes
from elections.services.requests import request_cancellation, request_election, request_tally

__all__ = [
    "BlockRef",
    "CensusRootSet",
    "Change",
    "Changes",
    "ElectionCancelled",
    "ElectionCreated",
    "Event",
    "Origin",
    "TallyPublished",
    "VoteCast",
    "advance_head",
    "apply_events",
    "bring_metadata",
    "close_due_censuses",
    "close_registration",
    "publish_changes",
    "rebuild_census",
    "refold",
    "register_voter",
    "request_cancellation",
    "request_election",
    "request_tally",
    "scope_of",
    "store_metadata",
]
