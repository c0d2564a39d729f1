"""Providers' events: signed, once, and only ever forward."""

import base64
import json
import time
import uuid
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.core.exceptions import ImproperlyConfigured
from twilio.request_validator import RequestValidator

from config.settings.parts import notifications as part
from notifications.models import Contact, Notification, ProviderEvent, Subscription
from notifications.services import deliver_due
from notifications.tests.factories import notification, subscriber

pytestmark = pytest.mark.django_db
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(autouse=True)
def _key(settings) -> None:
    public = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    settings.SENDGRID_WEBHOOK_KEY = base64.b64encode(public).decode()


def post_sendgrid(client, events, *, at=None, key=KEY, body=None, **headers):
    body = json.dumps(events).encode() if body is None else body
    timestamp = str(int(at if at is not None else time.time()))
    signature = base64.b64encode(key.sign(timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))).decode()
    sent = {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": timestamp,
    } | headers
    return client.post("/notifications/webhooks/sendgrid", body, "application/json", headers=sent)


def event(row, kind, **more):
    return {
        "email": row.address,
        "timestamp": int(time.time()),
        "event": kind,
        "sg_event_id": uuid.uuid4().hex,
        "sg_message_id": f"{row.provider_message_id or 'abc'}.filter001.0",
        "notification_id": str(row.pk),
    } | more


def sent(**changes) -> Notification:
    row = notification(**changes)
    deliver_due()
    row.refresh_from_db()
    return row


def test_delivered_and_bounced_come_from_signed_events(client, sendgrid):
    row = sent()
    assert post_sendgrid(client, [event(row, "processed"), event(row, "delivered")]).status_code == 204
    row.refresh_from_db()
    assert row.status == "delivered"
    # Asynchronous bounces come after a delivery, and stand.
    post_sendgrid(client, [event(row, "bounce", reason="550 no such user", type="bounce"), event(row, "delivered")])
    row.refresh_from_db()
    assert row.status == "bounced"
    assert row.errors[-1]["detail"] == "550 no such user"
    assert Contact.objects.get(user=row.user).suppressed_reason == "bounced"


def test_an_event_is_taken_once(client, sendgrid):
    row = sent()
    delivered = event(row, "delivered")
    post_sendgrid(client, [delivered, delivered])
    post_sendgrid(client, [delivered])
    assert ProviderEvent.objects.count() == 1


def test_a_forged_or_old_event_is_refused(client, sendgrid, settings):
    row = sent()
    events = [event(row, "bounce")]
    forged = ec.generate_private_key(ec.SECP256R1())
    assert post_sendgrid(client, events, key=forged).status_code == 403
    assert post_sendgrid(client, events, at=time.time() - 90_000).status_code == 403
    assert post_sendgrid(client, events, at=time.time() + 9_000).status_code == 403
    for headers in (
        {"X-Twilio-Email-Event-Webhook-Signature": ""},
        {"X-Twilio-Email-Event-Webhook-Signature": "///"},
        {"X-Twilio-Email-Event-Webhook-Timestamp": "x"},
    ):
        assert post_sendgrid(client, events, **headers).status_code == 403
    settings.SENDGRID_WEBHOOK_KEY = ""
    assert post_sendgrid(client, events).status_code == 403
    row.refresh_from_db()
    assert row.status == "sent"
    assert not ProviderEvent.objects.exists()


def test_a_signed_body_that_is_no_batch_is_malformed(client):
    assert post_sendgrid(client, None, body=b"{").status_code == 400
    assert post_sendgrid(client, 5).status_code == 400
    strangers = [{"event": "delivered", "sg_event_id": "x"}, 7, {"notification_id": "zz"}, {"notification_id": None}]
    assert post_sendgrid(client, strangers).status_code == 204
    gone = {"event": "delivered", "sg_event_id": "x", "notification_id": str(uuid.uuid4())}
    assert post_sendgrid(client, [gone]).status_code == 204
    assert not ProviderEvent.objects.exists()


def test_an_event_settles_what_a_killed_worker_left_open(client, sendgrid):
    row = notification()
    Notification.objects.update(status="unknown", attempts=1)
    post_sendgrid(client, [event(row, "processed", sg_message_id="m1.filter.0")])
    row.refresh_from_db()
    assert (row.status, row.provider_message_id) == ("sent", "m1")
    assert deliver_due() == {}
    assert not sendgrid.taken


def test_complaints_and_unsubscribes_end_the_mails(client, sendgrid):
    complaining, leaving = sent(), sent()
    post_sendgrid(client, [event(complaining, "spamreport"), event(leaving, "unsubscribe")])
    assert Contact.objects.get(user=complaining.user).suppressed_reason == "complained"
    assert not Subscription.objects.filter(user=leaving.user).exists()


def post_twilio(client, row, values, *, token="twilio-token", signature=None):
    path = f"/notifications/webhooks/twilio/{row.pk}"
    made = RequestValidator(token).compute_signature(f"https://psephos.example{path}", values)
    return client.post(
        path,
        urlencode(values),
        "application/x-www-form-urlencoded",
        headers={"X-Twilio-Signature": made if signature is None else signature},
    )


def test_twilios_statuses_are_signed_and_taken_once(client, twilio):
    row = sent(channel="sms")
    values = {"MessageSid": row.provider_message_id, "MessageStatus": "delivered", "AccountSid": "AC0"}
    assert post_twilio(client, row, values, token="other").status_code == 403
    assert post_twilio(client, row, values, signature="").status_code == 403
    row.refresh_from_db()
    assert row.status == "sent"
    assert post_twilio(client, row, values).status_code == 204
    assert post_twilio(client, row, values).status_code == 204
    assert post_twilio(client, row, values | {"MessageStatus": "sent"}).status_code == 204
    row.refresh_from_db()
    assert row.status == "delivered"
    assert ProviderEvent.objects.count() == 2
    assert post_twilio(client, row, {"MessageSid": "x"}).status_code == 400


def test_a_stop_by_sms_ends_the_texts(client, twilio):
    user = subscriber(channels=["email", "sms"], phone="+359881234567")
    row = sent(channel="sms", user=user)
    values = {"MessageSid": row.provider_message_id, "MessageStatus": "failed", "ErrorCode": "21610"}
    assert post_twilio(client, row, values).status_code == 204
    row.refresh_from_db()
    assert row.status == "bounced"
    assert Subscription.objects.get(user=user).channels == ["email"]
    assert Contact.objects.get(user=user).suppressed_reason == "stop"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"NOTIFICATIONS_EMAIL_PROVIDER": "sendgrid"}, "SENDGRID_API_KEY"),
        ({"NOTIFICATIONS_EMAIL_PROVIDER": "sendgrid", "SENDGRID_API_KEY": "x"}, "SENDGRID_WEBHOOK_KEY"),
        ({"NOTIFICATIONS_SMS_PROVIDER": "twilio"}, "TWILIO_ACCOUNT_SID"),
        ({"NOTIFICATIONS_SMS_PROVIDER": "twilio", "TWILIO_ACCOUNT_SID": "a", "TWILIO_FROM": "b"}, "TWILIO_AUTH_TOKEN"),
    ],
)
def test_the_server_does_not_start_without_a_providers_keys(changed, named):
    with pytest.raises(ImproperlyConfigured, match=named):
        part.check_notifications(vars(part) | changed)


def test_it_starts_without_the_webhooks_key_when_tracking_is_off():
    changed = {"NOTIFICATIONS_EMAIL_PROVIDER": "sendgrid", "SENDGRID_API_KEY": "x", "NOTIFICATIONS_TRACKING": False}
    part.check_notifications(vars(part) | changed)
