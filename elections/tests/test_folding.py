"""Events in the database: incremental and whole folds agree, reorgs are folded again."""

import itertools
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elections import services
from elections.models import Election, Moment
from elections.tests import factories as make
from elections.tests.test_projection import histories

pytestmark = pytest.mark.django_db
FOLDED = ["status", "votes", "totals", "turnout", "facts", "census_root", "finality", "last_fact_block", "is_withdrawn"]


def row(election_id: int = 1) -> tuple | None:
    return Election.objects.filter(election_id=election_id, is_withdrawn=False).values_list(*FOLDED).first()


def test_an_election_appears_with_its_facts() -> None:
    election = make.election(1, make.vote(choice=2), make.vote(choice=2, at=12), head=20)
    assert election.public_id == "31337-5fbdb231-1"
    assert (election.status, election.votes, election.turnout) == ("open", [0, 0, 2], 2)
    assert election.facts["last_vote"]["block_number"] == 12
    assert set(election.facts) == {"created", "last_vote"}


def test_changes_name_each_election_once_with_its_reasons() -> None:
    changes = services.apply_events(events=[make.created(1), make.created(2, log_index=1), make.vote(1)])
    assert {change.public_id: change.reasons for change in changes} == {
        "31337-5fbdb231-1": {"created", "votes"},
        "31337-5fbdb231-2": {"created"},
    }


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=histories(), cuts=st.lists(st.integers(0, 30), max_size=3))
def test_incremental_and_whole_folds_write_the_same_row(events: list, cuts: list[int]) -> None:
    Election.objects.all().delete()
    make.head_at(60)
    bounds = [0, *sorted(cuts), len(events)]
    for start, end in itertools.pairwise(bounds):
        services.apply_events(events=events[start:end])
    incremental = row()
    services.refold(chain_id=make.CHAIN_ID, contract=make.CONTRACT, events_by_election={1: events})
    assert row() == incremental


def test_a_reorg_takes_votes_back_and_says_so() -> None:
    election = make.election(1, make.vote(choice=0, at=11), make.vote(choice=1, at=12), head=12)
    changes = services.refold(
        chain_id=make.CHAIN_ID,
        contract=make.CONTRACT,
        events_by_election={1: [make.created(1), make.vote(choice=0, at=11)]},
    )
    election.refresh_from_db()
    assert election.votes == [1, 0, 0]
    assert election.last_fact_block == 11
    assert changes.is_reorg
    assert [change.reasons for change in changes] == [{"retracted"}]


def test_an_election_whose_creation_is_gone_is_withdrawn_and_may_come_back() -> None:
    election = make.election(1, head=5)
    none_left = {1: []}
    changes = services.refold(chain_id=make.CHAIN_ID, contract=make.CONTRACT, events_by_election=none_left)
    assert [change.reasons for change in changes] == [{"retracted", "withdrawn"}]
    assert not Election.objects.visible().exists()

    services.apply_events(events=[make.created(1, at=6, options=2)])
    election.refresh_from_db()
    assert (election.is_withdrawn, election.options, election.created_block) == (False, 2, 6)


def test_a_cancellation_that_a_reorg_took_back_is_not_announced() -> None:
    make.election(1, make.cancelled(at=50), head=50)
    services.refold(chain_id=make.CHAIN_ID, contract=make.CONTRACT, events_by_election={1: [make.created(1)]})
    assert not Moment.objects.filter(kind="cancelled").exists()
    assert Election.objects.get().status == "open"


def test_numbers_of_256_bits_survive() -> None:
    huge = 2**256 - 1
    election = make.election(huge, start_block=5, end_block=huge, census_root=huge, head=6)
    assert (election.election_id, election.end_block, election.census_root) == (huge, huge, huge)
    assert election.ends_at is None


def test_fifty_thousand_votes_are_folded_within_a_transaction() -> None:
    make.election(1, head=20)
    origin = make.origin(11)
    events = [services.VoteCast(origin, 1, number, number % 3) for number in range(50_000)]
    started = time.perf_counter()
    services.apply_events(events=events)
    print(f"folded {50_000 / (time.perf_counter() - started):,.0f} votes/s")
    assert Election.objects.get().turnout == 50_000
