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
from elections.services.folding import apply_events, refold
from elections.services.heads import advance_head
from elections.services.publishing import publish_changes

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
    "publish_changes",
    "refold",
]
