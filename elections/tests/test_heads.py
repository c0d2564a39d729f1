"""The head moves elections: statuses, finality, expected times, announcements."""

import pytest
from django.conf import settings as django_settings

from audit.models import Entry
from elections import services
from elections.models import ChainHead, Election, Moment
from elections.tests import factories as make

pytestmark = pytest.mark.django_db


def status() -> str:
    return Election.objects.get().status


def test_an_election_opens_and_closes_with_the_head_and_back() -> None:
    make.election(1, head=5, start_block=10, end_block=20)
    seen = []
    for number in (9, 10, 19, 20, 15, 9, 30):
        make.head_at(number)
        seen.append(status())
    assert seen == ["pending", "open", "open", "closed", "open", "pending", "closed"]


def test_a_head_that_changes_nothing_reports_nothing() -> None:
    make.election(1, head=5)
    assert not make.head_at(6)
    assert [change.reasons for change in make.head_at(10)] == [{"status", "schedule"}]


def test_finality_rises_with_the_safe_and_finalized_blocks() -> None:
    make.election(1, make.vote(at=11), head=12)
    seen = []
    for safe, finalized in ((10, 5), (11, 5), (12, 11)):
        make.head_at(13, safe=safe, finalized=finalized)
        seen.append(Election.objects.get().finality)
    assert seen == ["latest", "safe", "finalized"]


def test_each_revision_is_greater_than_the_last() -> None:
    election = make.election(1, head=5)
    first = election.revision
    make.head_at(10)
    election.refresh_from_db()
    assert election.revision > first


@pytest.mark.slow
def test_expected_times_follow_the_pace_of_blocks() -> None:
    election = make.election(1, head=5, start_block=1000, end_block=2000)
    for number in range(50, 500, 10):
        make.head_at(number)
    election.refresh_from_db()
    assert ChainHead.objects.get().block_seconds == pytest.approx(make.BLOCK_SECONDS, rel=0.01)
    expected = make.GENESIS_TIME + 1000 * make.BLOCK_SECONDS
    assert election.starts_at.timestamp() == pytest.approx(expected, abs=60)


def test_moments_are_announced_once_and_only_when_final_enough() -> None:
    django_settings_lead = django_settings.ELECTIONS_CLOSING_LEAD_SECONDS
    assert django_settings_lead > 0
    make.election(1, make.cancelled(at=50), head=51)
    assert not Moment.objects.exclude(announced_at=None).exists()
    make.head_at(52, safe=40, finalized=30)
    make.head_at(53, safe=51, finalized=30)
    make.head_at(54, safe=54, finalized=54)
    actions = Entry.objects.filter(action__startswith="elections.election.").values_list("action", flat=True)
    assert sorted(actions) == ["elections.election.cancelled", "elections.election.created"]


def test_closing_is_announced_before_the_end(settings) -> None:
    settings.ELECTIONS_CLOSING_LEAD_SECONDS = 120
    make.election(1, head=5, start_block=10, end_block=100)
    due = Moment.objects.get(kind="closing").block_number
    assert due == 90  # 12 s a block until the pace is known
    make.head_at(due - 1, safe=due - 1)
    assert Moment.objects.get(kind="closing").announced_at is None
    make.head_at(due, safe=due)
    assert Moment.objects.get(kind="closing").announced_at is not None
    assert Entry.objects.filter(action="elections.election.closing").count() == 1


def test_changes_of_several_calls_join() -> None:
    joined = services.Changes((services.Change("a", frozenset({"votes"})),)) + services.Changes(
        (services.Change("a", frozenset({"status"})), services.Change("b", frozenset({"created"}))), is_reorg=True
    )
    assert {item.public_id: item.reasons for item in joined} == {"a": {"votes", "status"}, "b": {"created"}}
    assert joined.is_reorg
