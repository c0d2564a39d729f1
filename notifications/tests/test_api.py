"""The REST door: subscriptions, preferences, addresses, statuses; a refusal changes nothing."""

import re
import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Role
from accounts.tests.factories import UserFactory, bearer
from audit.models import Entry
from notifications.models import Contact, Notification, Preferences, Subscription
from notifications.services import deliver_due
from notifications.tests.factories import notification, subscriber

pytestmark = pytest.mark.django_db
ALL = {"events": ["created", "tallied"], "channels": ["email"]}
ADDRESSES = [
    ("get", "/notifications"),
    ("get", "/notifications/status/00000000-0000-4000-8000-000000000000"),
    ("get", "/notifications/preferences"),
    ("put", "/notifications/preferences"),
    ("get", "/notifications/subscriptions"),
    ("post", "/notifications/subscriptions"),
    ("get", "/notifications/subscriptions/1"),
    ("put", "/notifications/subscriptions/1"),
    ("delete", "/notifications/subscriptions/1"),
    ("get", "/notifications/contacts"),
    ("put", "/notifications/contacts/sms"),
    ("delete", "/notifications/contacts/sms"),
    ("post", "/notifications/contacts/sms/confirm"),
]


def send(client, method, address, user, body=None):
    options = {} if body is None else {"data": body, "content_type": "application/json"}
    return getattr(client, method)(address, headers=bearer(user), **options)


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_nobody_gets_in_without_a_token(client, method, address):
    response = getattr(client, method)(address)
    assert response.status_code == 401
    assert "WWW-Authenticate" in response
    assert not Entry.objects.exists()


def test_a_subscription_is_made_changed_and_removed_with_audit_entries(client):
    user, other = UserFactory(), UserFactory()
    made = send(client, "post", "/notifications/subscriptions", user, ALL)
    assert made.status_code == 201, made.content
    assert made.json()["election"] == ""
    address = made["Location"]
    again = send(client, "post", "/notifications/subscriptions", user, ALL)
    assert (again.status_code, again.json()["code"]) == (409, "subscription_exists")
    one = send(client, "post", "/notifications/subscriptions", user, ALL | {"election": "31337-5fbdb231-7"})
    assert one.status_code == 201
    changed = send(client, "put", address, user, {"events": ["closing"], "channels": ["email"]})
    assert changed.json()["events"] == ["closing"]
    for method, body in (("get", None), ("put", ALL), ("delete", None)):
        assert send(client, method, address, other, body).status_code == 404
    assert len(send(client, "get", "/notifications/subscriptions", user).json()) == 2
    assert send(client, "delete", address, user).status_code == 204
    assert Subscription.objects.count() == 1
    actions = sorted(Entry.objects.values_list("action", flat=True))
    assert actions == [
        "notifications.subscription.changed",
        "notifications.subscription.created",
        "notifications.subscription.created",
        "notifications.subscription.removed",
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"events": [], "channels": ["email"]},
        {"events": ["created"], "channels": []},
        {"events": ["opened"], "channels": ["email"]},
        {"events": ["created"], "channels": ["pigeon"]},
        ALL | {"election": "7"},
        ALL | {"election": "31337-5fbdb231-7/../x"},
        ALL | {"extra": 1},
        [],
    ],
)
def test_a_subscription_that_makes_no_sense_is_refused(client, body):
    response = send(client, "post", "/notifications/subscriptions", UserFactory(), body)
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
    assert not Subscription.objects.exists()


def test_sms_needs_an_opt_in_and_mail_an_address(client):
    user = UserFactory()
    response = send(client, "post", "/notifications/subscriptions", user, ALL | {"channels": ["sms"]})
    assert (response.status_code, response.json()["code"]) == (409, "address_missing")
    user.email = None
    user.save()
    response = send(client, "post", "/notifications/subscriptions", user, ALL)
    assert (response.status_code, response.json()["code"]) == (409, "address_missing")


def test_opting_in_to_sms_by_code_and_out_again(client, twilio):
    user = UserFactory()
    response = send(client, "put", "/notifications/contacts/sms", user, {"address": "+359881234567"})
    assert response.status_code == 202, response.content
    assert response.json()["is_confirmed"] is False
    assert deliver_due() == {"sent": 1}
    code = re.search(r"\d{6}", twilio.taken[0]["body"])[0]
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    address = "/notifications/contacts/sms/confirm"
    refused = send(client, "post", address, user, {"code": wrong})
    assert (refused.status_code, refused.json()["code"]) == (422, "code_wrong")
    assert send(client, "post", address, UserFactory(), {"code": code}).status_code == 404
    assert send(client, "post", address, user, {"code": code}).json()["is_confirmed"] is True
    assert send(client, "post", address, user, {"code": code}).status_code == 404
    both = send(client, "post", "/notifications/subscriptions", user, ALL | {"channels": ["sms", "email"]})
    assert both.status_code == 201
    assert send(client, "delete", "/notifications/contacts/sms", user).status_code == 204
    assert Subscription.objects.get().channels == ["email"]
    assert not Contact.objects.exists()


def test_a_code_can_be_guessed_five_times_only(client):
    user = UserFactory()
    send(client, "put", "/notifications/contacts/sms", user, {"address": "+359881234567"})
    code = Notification.objects.get().payload["code"]
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    for _ in range(5):
        assert send(client, "post", "/notifications/contacts/sms/confirm", user, {"code": wrong}).status_code == 422
    assert send(client, "post", "/notifications/contacts/sms/confirm", user, {"code": code}).status_code == 422


def test_codes_are_not_sent_without_end(client):
    user = UserFactory()
    body = {"address": "+359881234567"}
    assert send(client, "put", "/notifications/contacts/sms", user, body).status_code == 202
    response = send(client, "put", "/notifications/contacts/sms", user, body)
    assert (response.status_code, response.json()["code"]) == (429, "too_many_codes")
    assert response["Retry-After"] == "60"
    for _ in range(4):
        Contact.objects.update(code_sent_at=timezone.now() - timedelta(seconds=61))
        assert send(client, "put", "/notifications/contacts/sms", user, body).status_code == 202
    Contact.objects.update(code_sent_at=timezone.now() - timedelta(seconds=61))
    assert send(client, "put", "/notifications/contacts/sms", user, body).status_code == 429
    assert Notification.objects.count() == 5


@pytest.mark.parametrize(
    "number", ["0881234567", "+0881234567", "359881234567", "+35988", "+3598812345678901", "+١٢٣٤٥٦٧٨"]
)
def test_a_number_that_is_not_e164_is_refused(client, number):
    response = send(client, "put", "/notifications/contacts/sms", UserFactory(), {"address": number})
    assert response.status_code == 400
    assert not Contact.objects.exists()


@pytest.mark.parametrize(
    "address", ["", "nobody", "a@b", "a b@example.org", "a@example.org\nBcc: b@example.org", "a@@x.org"]
)
def test_an_address_that_does_not_parse_is_refused(client, address):
    response = send(client, "put", "/notifications/contacts/email", UserFactory(), {"address": address})
    assert response.status_code == 400
    assert not Contact.objects.exists()


def test_preferences_are_kept_and_checked(client):
    user = UserFactory()
    default = send(client, "get", "/notifications/preferences", user).json()
    assert default == {"language": "en", "time_zone": "UTC", "quiet_from": None, "quiet_until": None}
    wanted = {"language": "bg", "time_zone": "Europe/Sofia", "quiet_from": "22:00:00", "quiet_until": "07:30:00"}
    assert send(client, "put", "/notifications/preferences", user, wanted).json() == wanted
    assert send(client, "get", "/notifications/preferences", user).json() == wanted
    send(client, "put", "/notifications/preferences", user, wanted | {"language": "en"})
    send(client, "put", "/notifications/preferences", user, wanted)
    entries = Entry.objects.filter(action="notifications.preferences.changed").order_by("id")
    assert [entry.data for entry in entries] == [{"fields": sorted(wanted)}, *[{"fields": ["language"]}] * 2]
    for wrong in (
        {"language": "de"},
        {"time_zone": "Europe/Atlantis"},
        {"time_zone": "../../etc/passwd"},
        {"quiet_until": None},
        {"quiet_from": "25:00"},
        {"colour": "red"},
    ):
        assert send(client, "put", "/notifications/preferences", user, wanted | wrong).status_code == 400
    assert Preferences.objects.get().language == "bg"


def test_a_status_is_its_recipients_and_admins_only(client, sendgrid):
    sendgrid.answers.extend([500])
    row = notification()
    address = f"/notifications/status/{row.pk}"
    deliver_due()
    assert send(client, "get", address, row.user).json()["status"] in ("queued", "sent")
    deliver_due()
    shown = send(client, "get", address, row.user).json()
    assert (shown["job_id"], shown["status"], shown["attempts"]) == (str(row.pk), "sent", 2)
    assert shown["errors"][0]["code"] == "http_500"
    assert send(client, "get", address, UserFactory(role=Role.ADMIN)).status_code == 200
    foreign = send(client, "get", address, UserFactory())
    unknown = send(client, "get", f"/notifications/status/{uuid.uuid4()}", UserFactory())
    assert foreign.status_code == unknown.status_code == 404
    assert {**foreign.json(), "request_id": 0} == {**unknown.json(), "request_id": 0}
    assert send(client, "get", address, UserFactory(role=Role.VIEWER)).status_code == 404


def test_the_list_is_ones_own(client, django_assert_max_num_queries):
    mine = notification()
    notification()
    headers = bearer(mine.user)
    with django_assert_max_num_queries(3):
        rows = client.get("/notifications", headers=headers).json()["results"]
    assert [row["job_id"] for row in rows] == [str(mine.pk)]
    assert len(send(client, "get", "/notifications", UserFactory(role=Role.ADMIN)).json()["results"]) == 2


def test_one_click_unsubscribes_and_a_look_does_not(client, sendgrid):
    user = subscriber(language="bg")
    other = subscriber()
    notification(user=user)
    deliver_due()
    link = sendgrid.taken[0]["mail"]["headers"]["List-Unsubscribe"].strip("<>").removeprefix("https://psephos.example")
    page = client.get(link)
    assert page.status_code == 200
    assert "Да спрем ли съобщенията?" in page.content.decode()
    assert Subscription.objects.filter(user=user).exists()
    response = client.post(link, "List-Unsubscribe=One-Click", "application/x-www-form-urlencoded")
    assert response.status_code == 200
    assert not Subscription.objects.filter(user=user).exists()
    assert Subscription.objects.filter(user=other).exists()
    assert Entry.objects.filter(action="notifications.unsubscribed", actor=f"user:{user.pk}").count() == 1
    assert client.post(link).status_code == 200
    assert Entry.objects.filter(action="notifications.unsubscribed").count() == 1


def test_a_forged_link_unsubscribes_nobody(client):
    subscriber()
    for token in ("x", "WyJhIl0:1:x", "a" * 500):
        assert client.post(f"/notifications/unsubscribe/{token}").status_code == 404
    assert Subscription.objects.count() == 1


def test_a_channel_that_we_do_not_have_is_404(client):
    user = UserFactory()
    for method in ("get", "put", "delete"):
        assert send(client, method, "/notifications/contacts/pigeon", user, {"address": "x"}).status_code == 404
    assert send(client, "post", "/notifications/contacts/pigeon/confirm", user, {"code": "123456"}).status_code == 404
