"""Each message leaves once, whatever the provider answers and whenever a worker dies."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from audit.models import Entry
from notifications.models import Channel, Contact, Event, Notification, Stage, Subscription
from notifications.services import deliver_due, provider_states, send_again
from notifications.services.delivering import claim_due, mark_sending
from notifications.services.pacing import one_of_the_senders
from notifications.services.providers import PROVIDERS
from notifications.services.rendering import render
from notifications.tests.factories import notification

pytestmark = pytest.mark.django_db


def codes(row: Notification) -> list[str]:
    row.refresh_from_db()
    return [error["code"] for error in row.errors]


def deliver_until_settled(row: Notification) -> Notification:
    for _ in range(12):
        deliver_due()
        row.refresh_from_db()
        if row.public_status != "queued":
            break
    return row


def test_a_mail_goes_out_through_sendgrid_with_one_click_unsubscribe(sendgrid):
    row = notification()
    assert deliver_due() == {"sent": 1}
    row.refresh_from_db()
    taken = sendgrid.taken[0]
    mail = taken["mail"]
    assert (row.status, row.attempts, row.provider, row.provider_message_id) == ("sent", 1, "sendgrid", taken["id"])
    assert mail["subject"].startswith("New election: Green spaces")
    assert mail["custom_args"] == {"notification_id": str(row.pk)}
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["headers"]["List-Unsubscribe"].startswith("<https://psephos.example/notifications/unsubscribe/")
    assert mail["tracking_settings"]["click_tracking"]["enable"] is False
    assert Entry.objects.get(target=f"notification:{row.pk}").action == "notifications.notification.sent"
    assert deliver_due() == {}
    assert len(sendgrid.taken) == 1


def test_an_sms_goes_out_through_twilio_with_a_status_callback(twilio):
    row = notification(channel=Channel.SMS)
    assert deliver_due() == {"sent": 1}
    row.refresh_from_db()
    taken = twilio.taken[0]
    assert row.provider_message_id == taken["id"]
    assert taken["to"] == "+359881234567"
    assert taken["values"]["StatusCallback"] == f"https://psephos.example/notifications/webhooks/twilio/{row.pk}"
    assert "https://psephos.example/e/" in taken["body"]


@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize(("answer", "code"), [(400, "400"), (401, "401"), (403, "403"), (413, "413")])
def test_a_refusal_is_not_tried_again(sendgrid, twilio, channel, answer, code):
    mock = sendgrid if channel == "email" else twilio
    mock.answers.append(answer)
    row = notification(channel=channel)
    assert deliver_until_settled(row).status == Stage.FAILED
    assert (row.attempts, len(mock.calls), len(mock.taken)) == (1, 1, 0)
    expected = {"email": f"http_{code}", "sms": f"provider_{ {400: 21211, 401: 20003}.get(answer, answer) }"}
    assert codes(row) == [expected[channel]]


@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize("answer", [500, 503, (429, {"Retry-After": "0"}), "lose"])
def test_a_provider_that_is_away_is_tried_three_times_more_exactly(sendgrid, twilio, channel, answer):
    mock = sendgrid if channel == "email" else twilio
    mock.answers.extend([answer] * 10)
    row = deliver_until_settled(notification(channel=channel))
    assert (row.status, row.attempts, len(mock.calls)) == (Stage.FAILED, 4, 4)
    assert not mock.taken


@pytest.mark.parametrize("channel", ["email", "sms"])
def test_a_provider_that_comes_back_gets_the_message_once(sendgrid, twilio, channel):
    mock = sendgrid if channel == "email" else twilio
    mock.answers.extend([500, 503, (429, {"Retry-After": "0"})])
    row = deliver_until_settled(notification(channel=channel))
    assert (row.status, row.attempts, len(mock.taken)) == (Stage.SENT, 4, 1)
    assert len(codes(row)) == 3


def test_nobody_listening_is_tried_again(settings):
    settings.NOTIFICATIONS_EMAIL_PROVIDER = "sendgrid"
    settings.SENDGRID_API_KEY = "x"
    settings.SENDGRID_API_URL = "http://127.0.0.1:1/v3/"
    row = deliver_until_settled(notification())
    assert (row.status, row.attempts) == (Stage.FAILED, 4)
    assert codes(row) == ["unreachable"] * 4


def test_retries_wait_longer_each_time_with_jitter(sendgrid, settings):
    settings.NOTIFICATIONS_RETRY_SECONDS = 100
    sendgrid.answers.extend([500] * 3)
    row = notification()
    pauses = []
    for _ in range(3):
        before = timezone.now()
        assert deliver_due() == {"retrying": 1}
        row.refresh_from_db()
        pauses.append((row.due_at - before).total_seconds())
        Notification.objects.update(due_at=timezone.now())
    for index, pause in enumerate(pauses):
        assert 75 * 2**index <= pause <= 126 * 2**index + 30


def test_retry_after_rests_the_provider_for_all(sendgrid):
    first, second = notification(), notification()
    Notification.objects.filter(pk=second.pk).update(due_at=timezone.now() + timedelta(milliseconds=1))
    sendgrid.answers.append((429, {"Retry-After": "600"}))
    before = timezone.now()
    deliver_due()
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.due_at - before).total_seconds() >= 599
    assert first.errors[0]["retry_after_seconds"] == 600
    assert (second.status, second.attempts, second.claimed_until) == ("queued", 0, None)
    assert provider_states()["email"]["status"] == "resting"
    assert deliver_due() == {}
    assert len(sendgrid.calls) == 1


@pytest.mark.slow
@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize("answer", ["cut", "hang"])
def test_a_connection_that_breaks_after_the_message_left_does_not_double_it(
    sendgrid, twilio, settings, channel, answer
):
    settings.NOTIFICATIONS_TIMEOUT_SECONDS = 1
    mock = sendgrid if channel == "email" else twilio
    mock.answers.append(answer)
    row = notification(channel=channel)
    assert deliver_due() == {"unknown": 1}
    row.refresh_from_db()
    assert row.status == Stage.UNKNOWN
    deliver_until_settled(row)
    assert (row.status, len(mock.taken)) == (Stage.SENT, 1)
    assert row.provider_message_id.startswith(mock.taken[0]["id"])
    assert codes(row) == ["connection_cut" if answer == "cut" else "timed_out"]


@pytest.mark.parametrize("channel", ["email", "sms"])
@pytest.mark.parametrize("has_left", [True, False])
def test_a_worker_killed_between_send_and_commit_is_told_by_the_providers_id(sendgrid, twilio, channel, has_left):
    mock = sendgrid if channel == "email" else twilio
    row = notification(channel=channel)
    claimed = claim_due()[0]
    assert mark_sending(claimed, mock.__class__.__name__.lower())
    if has_left:
        PROVIDERS["sendgrid" if channel == "email" else "twilio"]().send(claimed, render(claimed))
    # Here the worker dies.
    Notification.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    deliver_until_settled(row)
    assert row.status == Stage.SENT
    assert len(mock.taken) == 1
    assert codes(row)[0] == "worker_lost"
    assert row.attempts == (1 if has_left else 2)


def test_what_nobody_can_tell_is_held_and_then_failed_not_doubled(sendgrid, settings):
    sendgrid.has_activity = False
    sendgrid.answers.append("cut")
    row = notification()
    deliver_due()
    Notification.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert deliver_due() == {"unknown": 1}
    settings.NOTIFICATIONS_HOLD_SECONDS = -1
    Notification.objects.update(claimed_until=timezone.now() - timedelta(seconds=1))
    assert deliver_due() == {"failed": 1}
    assert codes(row) == ["connection_cut", "outcome_unknown"]
    assert len(sendgrid.taken) == 1


def test_the_world_moves_on_while_a_message_waits(sendgrid):
    expired = notification(expires_at=timezone.now() - timedelta(seconds=1))
    unsubscribed = notification()
    Subscription.objects.filter(user=unsubscribed.user).delete()
    suppressed = notification()
    Contact.objects.create(user=suppressed.user, channel="email", suppressed_at=timezone.now())
    gone = notification()
    gone.user.is_active = False
    gone.user.save()
    assert deliver_due() == {"failed": 4}
    assert [codes(row) for row in (expired, unsubscribed, suppressed, gone)] == [
        ["expired"],
        ["unsubscribed"],
        ["address_suppressed"],
        ["person_gone"],
    ]
    assert not sendgrid.calls


def test_a_payload_that_lacks_something_fails_and_sends_no_broken_mail(sendgrid):
    row = notification()
    Notification.objects.update(payload={"title": "x"})
    assert deliver_due() == {"failed": 1}
    assert codes(row) == ["template_incomplete"]
    assert not sendgrid.calls


def test_a_failed_message_is_sent_again_at_an_admins_wish(sendgrid):
    from accounts.models import Role
    from accounts.tests.factories import UserFactory

    sendgrid.answers.append(400)
    row = notification()
    deliver_due()
    send_again(notification_id=row.pk, by=UserFactory(role=Role.ADMIN))
    assert deliver_due() == {"sent": 1}
    assert codes(row) == ["http_400"]


def test_headers_cannot_be_injected_by_a_title(sendgrid):
    title = "Park?\r\nBcc: all@example.org\x01\u202e\u2028 <b>bold</b>"
    notification(payload={"title": title})
    deliver_due()
    mail = sendgrid.taken[0]["mail"]
    assert mail["subject"] == "New election: Park? Bcc: all@example.org <b>bold</b>"
    assert "bcc" not in {name.lower() for name in [*mail["headers"], *mail["personalizations"][0]]}
    html = mail["content"][1]["value"]
    assert "<b>bold</b>" not in html
    assert "&lt;b&gt;bold&lt;/b&gt;" in html


def test_files_and_log_are_the_local_default(settings, caplog):
    caplog.set_level("INFO")
    mail, text = notification(), notification(channel=Channel.SMS)
    assert deliver_due() == {"sent": 2}
    written = (settings.NOTIFICATIONS_MAIL_DIR / f"{mail.pk}.eml").read_text()
    assert "List-Unsubscribe-Post: List-Unsubscribe=One-Click" in written
    assert "SMS to +359881234567" in caplog.text
    text.refresh_from_db()
    assert text.provider == "log"


def test_a_code_is_taken_out_of_the_row_when_it_has_left(sendgrid):
    row = notification(event=Event.CONFIRMATION)
    deliver_due()
    assert "042817" in sendgrid.taken[0]["mail"]["subject"]
    row.refresh_from_db()
    assert row.payload == {}


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_send_each_message_once(sendgrid):
    user_rows = [notification() for _ in range(60)]
    outcomes: Counter[str] = Counter()
    lock = threading.Lock()

    def work() -> None:
        try:
            found = deliver_due()
            with lock:
                outcomes.update(found)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert outcomes == {"sent": 60}
    sent_to = Counter(taken["to"] for taken in sendgrid.taken)
    assert len(sent_to) == len(user_rows) == 60
    assert set(sent_to.values()) == {1}


def test_a_backlog_takes_no_more_workers_than_allowed(sendgrid, settings):
    settings.NOTIFICATIONS_SENDERS = 1
    notification()
    with one_of_the_senders(5) as is_sender:
        assert is_sender
        assert deliver_due() == {}
    assert deliver_due() == {"sent": 1}


@pytest.mark.slow
def test_the_rate_per_provider_is_kept(sendgrid, settings):
    settings.NOTIFICATIONS_EMAILS_PER_SECOND = 20
    for _ in range(12):
        notification()
    deliver_due()
    assert len(sendgrid.calls) == 12
    # Never faster than one each 50 ms; a loaded machine is slower.
    assert sendgrid.calls[-1] - sendgrid.calls[0] >= 11 * 0.05 - 0.06


def test_provider_states_say_how_they_do(sendgrid):
    assert provider_states()["email"] == {
        "provider": "sendgrid",
        "status": "idle",
        "waiting": 0,
        "sent": 0,
        "failed": 0,
        "unknown": 0,
        "last_sent_at": None,
    }
    sendgrid.answers.append(401)
    notification()
    deliver_due()
    assert provider_states()["email"]["status"] == "failing"
    notification()
    notification()
    deliver_due()
    state = provider_states()["email"]
    assert (state["status"], state["sent"], state["failed"]) == ("up", 2, 1)
    assert state["last_sent_at"]


def test_healthcheck_names_a_provider_that_fails(sendgrid):
    from config.health import run_check

    assert run_check("messages").as_json()["email"] == "sendgrid idle"
    sendgrid.answers.append(401)
    notification()
    deliver_due()
    part = run_check("messages")
    assert not part.is_up
    assert part.error == "email by sendgrid: 1 failed and 0 sent in the last hour"
