"""The fold from events to an election's state: pure functions, no database.

Folding events in parts, in order, gives the same state as folding them at once; `elections.services` relies on it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from elections.events import (
    CensusRootSet,
    ElectionCancelled,
    ElectionCreated,
    Event,
    Origin,
    TallyPublished,
    VoteCast,
)

UINT256_MAX = 2**256 - 1
PENDING, OPEN, CLOSED, TALLIED, CANCELLED = "pending", "open", "closed", "tallied", "cancelled"


@dataclass(frozen=True, slots=True)
class State:
    """All that an election's events say; `facts` keeps where each kind of fact stands (of votes: the last)."""

    metadata_hash: bytes
    start_block: int
    end_block: int
    options: int
    census_root: int | None
    verifier: str | None
    votes: tuple[int, ...]
    totals: tuple[int, ...] | None = None
    is_cancelled: bool = False
    facts: Mapping[str, Origin] = field(default_factory=dict)

    @property
    def turnout(self) -> int:
        """Votes seen; for a contract without vote events, those that its tally names.

        A foreign contract may name totals whose sum no column holds: it must not stop the indexer.
        """
        return min(max(sum(self.votes), sum(self.totals or ())), UINT256_MAX)

    @property
    def last_fact_block(self) -> int:
        return max(origin.block_number for origin in self.facts.values())


def begin(event: ElectionCreated) -> State:
    """Return the state of an election of which only the creation is known."""
    return State(
        metadata_hash=event.metadata_hash,
        start_block=event.start_block,
        end_block=event.end_block,
        options=event.options,
        census_root=event.census_root,
        verifier=event.verifier,
        votes=(0,) * event.options,
        facts={"created": event.origin},
    )


def fold(state: State | None, events: Iterable[Event]) -> State | None:
    """Fold one election's events, in chain order, over its state.

    Events before the creation, second creations, and choices that the election does not have are passed over: a
    contract of ours never emits them, and one of others must not stop the indexer.
    """
    votes: Counter[int] = Counter()
    last_vote: Origin | None = None
    for event in events:
        if state is None:
            if isinstance(event, ElectionCreated):
                state = begin(event)
        elif isinstance(event, VoteCast):
            # Counted apart and added once: a state per vote would cost more than all the rest.
            if 0 <= event.choice < state.options:
                votes[event.choice] += 1
                last_vote = event.origin
        elif isinstance(event, CensusRootSet):
            facts = {**state.facts, "census_root_set": event.origin}
            state = replace(state, census_root=event.census_root, facts=facts)
        elif isinstance(event, TallyPublished):
            state = replace(state, totals=event.totals, facts={**state.facts, "tally": event.origin})
        elif isinstance(event, ElectionCancelled):
            state = replace(state, is_cancelled=True, facts={**state.facts, "cancelled": event.origin})
    if state is not None and last_vote is not None:
        counted = tuple(count + votes[choice] for choice, count in enumerate(state.votes))
        state = replace(state, votes=counted, facts={**state.facts, "last_vote": last_vote})
    return state


def status_at(state: State, block_number: int) -> str:
    """Return an election's status when the chain's head is `block_number`."""
    if state.is_cancelled:
        return CANCELLED
    if state.totals is not None:
        return TALLIED
    return status_by_height(state.start_block, state.end_block, block_number)


def status_by_height(start_block: int, end_block: int, block_number: int) -> str:
    """Return the status that follows from the height alone."""
    if block_number < start_block:
        return PENDING
    return OPEN if block_number < end_block else CLOSED


def finality_of(block_number: int, *, safe_block: int, finalized_block: int) -> str:
    """Return how final a fact in this block is: `latest`, `safe` or `finalized`."""
    if block_number <= finalized_block:
        return "finalized"
    return "safe" if block_number <= safe_block else "latest"
