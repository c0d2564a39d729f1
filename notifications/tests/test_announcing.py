"""A moment of an election becomes one notification per subscriber and channel, in batches, once."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from audit.models import Entry
from elections.models import Metadata
from elections.services import refold
from elections.tests.factories import CONTRACT, cancelled, created, election, head_at, tally
from jobs.models import Job
from jobs.services.running import claim
from jobs.tests.inline import expire_lease, run_queued_jobs
from notifications.models import Announcement, Contact, Notification, Preferences
from notifications.services import announce, fan_out
from notifications.services.announcing import after_quiet_hours
from notifications.services.samples import SAMPLE_ELECTION
from notifications.tests.factories import news, subscriber

pytestmark = pytest.mark.django_db
PHONE = "+359881234567"


def test_subscribers_of_all_and_of_this_election_hear_once_per_channel():
    everything = subscriber(channels=["email", "sms"], phone=PHONE, language="bg", time_zone="Europe/Sofia")
    this_one = subscriber(election=SAMPLE_ELECTION)
    subscriber(election="1-00000000-1")
    both = subscriber()
    both.subscriptions.create(election=SAMPLE_ELECTION, events=["tallied"], channels=["email"])
    silent = subscriber()
    silent.subscriptions.update(events=["created"])
    inactive = subscriber()
    inactive.is_active = False
    inactive.save()
    announce(**news())
    announce(**news())
    run_queued_jobs()
    rows = {(row.user_id, row.channel, row.language) for row in Notification.objects.all()}
    assert rows == {
        (everything.pk, "email", "bg"),
        (everything.pk, "sms", "bg"),
        (this_one.pk, "email", "en"),
        (both.pk, "email", "en"),
    }
    assert Announcement.objects.get().recipients == 4
    assert Job.objects.get().status == "succeeded"


def test_an_announcement_goes_with_its_cause():
    subscriber()

    def announce_and_fail() -> None:
        with transaction.atomic():
            announce(**news())
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        announce_and_fail()
    assert not Announcement.objects.exists()
    assert not Job.objects.exists()
    assert not Entry.objects.filter(action__startswith="notifications").exists()


def test_a_fan_out_that_is_killed_and_run_again_doubles_nothing(settings):
    settings.NOTIFICATIONS_BATCH = 2
    for _ in range(5):
        subscriber()
    announce(**news())
    job = Job.objects.get()
    claim(job_id=job.pk)
    fan_out(announcement_id=Announcement.objects.get().pk)
    # The worker dies here, after its effect and before it could say so.
    expire_lease(job)
    Job.objects.filter(pk=job.pk).update(status="queued", lease_expires_at=None)
    run_queued_jobs()
    job.refresh_from_db()
    assert (job.status, job.attempts) == ("succeeded", 2)
    assert Notification.objects.count() == 5


def test_a_batch_costs_the_same_whatever_its_size(settings, django_assert_max_num_queries):
    for _ in range(30):
        subscriber()
    announce(**news())
    with django_assert_max_num_queries(25):
        assert fan_out(announcement_id=Announcement.objects.get().pk) == 30


def test_suppressed_and_missing_addresses_get_nothing():
    bounced = subscriber()
    Contact.objects.create(user=bounced, channel="email", suppressed_at=timezone.now())
    without = subscriber()
    without.email = None
    without.save()
    unconfirmed = subscriber(channels=["sms"])
    Contact.objects.create(user=unconfirmed, channel="sms", pending_address=PHONE)
    announce(**news())
    run_queued_jobs()
    assert not Notification.objects.exists()


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-03-10T21:30+00:00", "2026-03-11T05:00+00:00"),
        ("2026-03-11T04:59+00:00", "2026-03-11T05:00+00:00"),
        ("2026-03-11T05:00+00:00", "2026-03-11T05:00+00:00"),
        ("2026-03-11T12:00+00:00", "2026-03-11T12:00+00:00"),
        # The night in which Sofia's clocks go forward: 07:00 is one hour earlier in UTC.
        ("2026-03-28T22:00+00:00", "2026-03-29T04:00+00:00"),
    ],
)
def test_quiet_hours_are_the_readers_own(now, due):
    preferences = Preferences(time_zone="Europe/Sofia", quiet_from=time(22), quiet_until=time(7))
    moved = after_quiet_hours(datetime.fromisoformat(now), preferences)
    assert moved.astimezone(UTC) == datetime.fromisoformat(due)


def test_quiet_hours_within_a_day_and_none():
    noon = Preferences(quiet_from=time(12), quiet_until=time(14))
    moment = datetime(2026, 1, 1, 13, tzinfo=UTC)
    assert after_quiet_hours(moment, noon) == datetime(2026, 1, 1, 14, tzinfo=UTC)
    assert after_quiet_hours(moment, Preferences()) == moment


@pytest.fixture
def _any_age(settings) -> None:
    """The factories' chain lies in the past."""
    settings.ELECTIONS_ANNOUNCE_MAX_AGE_SECONDS = 10**9


@pytest.mark.usefixtures("_any_age")
def test_elections_announce_their_moments_at_the_chosen_finality_and_not_before(settings):
    settings.ELECTIONS_ANNOUNCE_FINALITY = "safe"
    subscriber()
    from elections.metadata import hash_document

    document = {"title": "Park?", "description": "", "options": ["River", "Yard", "None"]}
    key = hash_document(document)
    Metadata.objects.create(hash=key, document=document)
    election(1, tally(totals=(3, 2, 0), at=101), metadata_hash=key)
    assert not Announcement.objects.exists()
    head_at(110, safe=100)
    assert [row.event for row in Announcement.objects.all()] == ["created"]
    head_at(112, safe=101)
    last = Announcement.objects.get(event="tallied")
    assert last.election == "31337-5fbdb231-1"
    assert last.context["title"] == "Park?"
    assert last.context["options"] == ["River", "Yard", "None"]
    assert last.context["totals"] == ["3", "2", "0"]
    run_queued_jobs()
    assert sorted(Notification.objects.values_list("event", flat=True)) == ["created", "tallied"]


@pytest.mark.usefixtures("_any_age")
def test_nobody_hears_of_an_election_that_a_reorg_took_back():
    subscriber()
    election(1)
    refold(chain_id=31337, contract=CONTRACT, events_by_election={1: []})
    head_at(50, safe=40, finalized=40)
    members = {"metadata_hash": b"\x22" * 32, "end_block": 100_000}
    election(2, cancelled(2), **members)
    refold(chain_id=31337, contract=CONTRACT, events_by_election={2: [created(2, **members)]})
    head_at(60, safe=60, finalized=60)
    run_queued_jobs()
    assert [(row.event, row.election) for row in Notification.objects.all()] == [("created", "31337-5fbdb231-2")]


@pytest.mark.usefixtures("_any_age")
def test_closing_soon_comes_before_the_end_and_expires_with_it(settings):
    settings.ELECTIONS_CLOSING_LEAD_SECONDS = 20
    subscriber()
    head_at(2, safe=2)
    election(1, start_block=10, end_block=100)
    for number in (60, 80, 99):
        head_at(number, safe=number)
    closing = Announcement.objects.get(event="closing")
    assert closing.expires_at
    run_queued_jobs()
    row = Notification.objects.get(event="closing")
    assert row.expires_at == closing.expires_at
    assert row.due_at < timezone.now() + timedelta(seconds=1)


def test_nobody_hears_of_a_contracts_history_or_where_nobody_asked(settings):
    settings.ELECTIONS_ANNOUNCE_MAX_AGE_SECONDS = 10**9
    election(1)
    head_at(50, safe=50)
    assert not Announcement.objects.exists()
    subscriber()
    settings.ELECTIONS_ANNOUNCE_MAX_AGE_SECONDS = 3600
    election(2, tally(2), metadata_hash=b"\x22" * 32)
    head_at(200, safe=200)
    assert not Announcement.objects.exists()
