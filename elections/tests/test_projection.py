"""The fold: the same state whichever way the events come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elections.projection import finality_of, fold, status_at
from elections.tests import factories as make


@st.composite
def histories(draw: st.DrawFn) -> list:
    """One election's events in chain order, with what a foreign contract might emit in between."""
    kinds = draw(st.lists(st.sampled_from(["vote", "vote", "vote", "root", "tally", "cancel", "create"]), max_size=30))
    events: list = [make.created(options=3)] if draw(st.booleans()) else []
    for index, kind in enumerate(kinds):
        at = 10 + index
        if kind == "vote":
            events.append(make.vote(choice=draw(st.integers(0, 4)), at=at))
        elif kind == "root":
            events.append(make.census_root_set(census_root=draw(st.integers(1, 2**256 - 1)), at=at))
        elif kind == "tally":
            events.append(make.tally(totals=(1, 2, 3), at=at))
        elif kind == "cancel":
            events.append(make.cancelled(at=at))
        else:
            events.append(make.created(options=2, at=at))
    return events


@given(events=histories(), cut=st.integers(0, 30))
def test_folding_in_two_parts_equals_folding_at_once(events: list, cut: int) -> None:
    assert fold(fold(None, events[:cut]), events[cut:]) == fold(None, events)


@pytest.mark.slow
@given(events=histories())
def test_folding_one_by_one_equals_folding_at_once(events: list) -> None:
    state = None
    for event in events:
        state = fold(state, [event])
    assert state == fold(None, events)


@pytest.mark.slow
@given(events=histories())
def test_every_vote_for_an_existing_option_counts_once(events: list) -> None:
    state = fold(None, events)
    if state is None:
        return
    begun = next(index for index, event in enumerate(events) if type(event).__name__ == "ElectionCreated")
    choices = [event.choice for event in events[begun + 1 :] if hasattr(event, "choice")]
    assert state.votes == tuple(choices.count(option) for option in range(state.options))


@pytest.mark.parametrize(
    ("head", "status"), [(9, "pending"), (10, "open"), (99, "open"), (100, "closed"), (5000, "closed")]
)
def test_status_follows_the_head(head: int, status: str) -> None:
    state = fold(None, [make.created(start_block=10, end_block=100)])
    assert state is not None
    assert status_at(state, head) == status


def test_a_tally_and_a_cancellation_outrank_the_height() -> None:
    tallied = fold(None, [make.created(), make.tally(totals=(4, 0, 1))])
    assert tallied is not None
    assert (status_at(tallied, 5), tallied.turnout) == ("tallied", 5)
    cancelled = fold(tallied, [make.cancelled()])
    assert cancelled is not None
    assert status_at(cancelled, 5) == "cancelled"


def test_finality_is_that_of_the_block() -> None:
    levels = [finality_of(number, safe_block=10, finalized_block=5) for number in (5, 6, 10, 11)]
    assert levels == ["finalized", "safe", "safe", "latest"]
