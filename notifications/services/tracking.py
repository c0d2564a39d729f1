"""Takes the providers' events: who signed them, whether they are new, and what they say."""

import base64
import binascii
import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from twilio.request_validator import RequestValidator

from audit.services import record
from notifications.exceptions import WebhookMalformed, WebhookRefused
from notifications.models import Channel, Contact, Notification, ProviderEvent, Stage
from notifications.services.subscribing import drop_channel

SENDGRID_MAX_AGE_SECONDS = 24 * 3600
# What an event does to a stage; a bounce after a delivery stands, a delivery after a bounce does not.
SENDGRID_STAGES = {
    "processed": Stage.SENT,
    "deferred": Stage.SENT,
    "delivered": Stage.DELIVERED,
    "bounce": Stage.BOUNCED,
    "dropped": Stage.BOUNCED,
}
TWILIO_STAGES = {
    "queued": Stage.SENT,
    "accepted": Stage.SENT,
    "sending": Stage.SENT,
    "sent": Stage.SENT,
    "delivered": Stage.DELIVERED,
    "read": Stage.DELIVERED,
    "undelivered": Stage.BOUNCED,
    "failed": Stage.BOUNCED,
}
RANK = {
    Stage.QUEUED: 0,
    Stage.SENDING: 0,
    Stage.UNKNOWN: 0,
    Stage.FAILED: 1,
    Stage.SENT: 2,
    Stage.DELIVERED: 3,
    Stage.BOUNCED: 4,
}
# https://www.twilio.com/docs/api/errors: the number said STOP, or cannot be reached by SMS at all.
TWILIO_SUPPRESSING = {"21610": "stop", "30006": "landline", "30005": "unknown_number"}


def take_sendgrid_events(*, body: bytes, signature: str, timestamp: str) -> int:
    """Take a signed batch of SendGrid's events and return how many were new.

    The signature is ECDSA over timestamp and body. Raises WebhookRefused, WebhookMalformed. Events of other
    senders of the same account are passed over.
    """
    check_sendgrid_signature(body=body, signature=signature, timestamp=timestamp)
    try:
        events = json.loads(body)
        wanted = [
            (str(e["sg_event_id"]), str(e["event"]), uuid.UUID(str(e["notification_id"])), e)
            for e in events
            if isinstance(e, dict) and is_uuid(e.get("notification_id")) and e.get("sg_event_id") and e.get("event")
        ]
    except (ValueError, TypeError, KeyError):
        raise WebhookMalformed from None
    taken = 0
    for event_id, kind, notification_id, event in wanted:
        reason = str(event.get("reason") or event.get("response") or "")[:300]
        suppress = ""
        if kind == "bounce" and event.get("type", "bounce") == "bounce":
            suppress = "bounced"
        elif kind == "spamreport":
            suppress = "complained"
        taken += take(
            provider="sendgrid",
            event_id=event_id[:200],
            kind=kind[:50],
            notification_id=notification_id,
            stage=SENDGRID_STAGES.get(kind),
            message_id=str(event.get("sg_message_id", "")).partition(".")[0],
            reason=reason,
            suppress=suppress,
            is_unsubscribe=kind in ("unsubscribe", "group_unsubscribe"),
        )
    return taken


def check_sendgrid_signature(*, body: bytes, signature: str, timestamp: str) -> None:
    """Verify a batch's signature and that it is of the last day: older ids may have been purged."""
    if not settings.SENDGRID_WEBHOOK_KEY:
        raise WebhookRefused
    try:
        key = load_der_public_key(base64.b64decode(settings.SENDGRID_WEBHOOK_KEY))
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(base64.b64decode(signature), timestamp.encode() + body, ec.ECDSA(hashes.SHA256()))
        age = time.time() - int(timestamp)
    except (InvalidSignature, binascii.Error, ValueError):
        raise WebhookRefused from None
    if not -300 <= age <= SENDGRID_MAX_AGE_SECONDS:
        raise WebhookRefused


def take_twilio_status(
    *, notification_id: uuid.UUID, path: str, values: Mapping[str, Any], signature: str, settings_header: str = ""
) -> int:
    """Take a signed status callback of Twilio and return whether it was new.

    The signature is over the public address and the sorted form values. Raises WebhookRefused, WebhookMalformed.
    """
    if not settings.TWILIO_AUTH_TOKEN:
        raise WebhookRefused
    address = settings.PUBLIC_URL.rstrip("/") + path
    if not RequestValidator(settings.TWILIO_AUTH_TOKEN).validate(address, values, signature):
        raise WebhookRefused
    sid, status = values.get("MessageSid"), values.get("MessageStatus")
    if not sid or not status:
        raise WebhookMalformed
    code = str(values.get("ErrorCode") or "")
    return take(
        provider="twilio",
        event_id=f"{sid}:{status}"[:200],
        kind=str(status)[:50],
        notification_id=notification_id,
        stage=TWILIO_STAGES.get(str(status)),
        message_id=str(sid),
        reason=f"provider_{code}" if code else "",
        suppress=TWILIO_SUPPRESSING.get(code, ""),
        is_unsubscribe=code == "21610",
    )


@transaction.atomic
def take(
    *,
    provider: str,
    event_id: str,
    kind: str,
    notification_id: uuid.UUID,
    stage: Stage | None,
    message_id: str,
    reason: str,
    suppress: str,
    is_unsubscribe: bool,
) -> int:
    """Apply one event once; 0 for a replay and for a message that is not ours (or no longer)."""
    row = Notification.objects.select_for_update().filter(pk=notification_id).first()
    if row is None:
        return 0
    _, is_new = ProviderEvent.objects.get_or_create(
        provider=provider, event_id=event_id, defaults={"kind": kind, "notification": row}
    )
    if not is_new:
        return 0
    if stage is not None and RANK[stage] > RANK[Stage(row.status)]:
        now = timezone.now()
        row.status = stage
        row.sent_at = row.sent_at or now
        row.finished_at = now
        row.claimed_until = None
        row.provider = provider
        row.provider_message_id = row.provider_message_id or message_id[:200]
        if stage == Stage.BOUNCED:
            entry = {"attempt": row.attempts, "at": now.isoformat(), "code": kind, "detail": reason}
            row.errors = [*row.errors, entry]
        row.save()
        record(
            action=f"notifications.notification.{stage.value}",
            actor=f"provider:{provider}",
            target=f"notification:{row.pk}",
            data={"event": row.event, "via": row.channel},
        )
    if row.user_id and suppress:
        suppress_contact(row=row, reason=suppress)
    if row.user_id and is_unsubscribe and drop_channel(user_id=row.user_id, channel=row.channel):
        record(action="notifications.unsubscribed", actor=f"provider:{provider}", target=f"user:{row.user_id}")
    return 1


def suppress_contact(*, row: Notification, reason: str) -> None:
    """Write to an address no more until its owner confirms it again."""
    assert row.user_id is not None
    contact, _ = Contact.objects.select_for_update().get_or_create(
        user_id=row.user_id,
        channel=row.channel,
        defaults={"address": row.address if row.channel == Channel.EMAIL else ""},
    )
    current = contact.address or row.address
    if current == row.address:
        contact.suppressed_at, contact.suppressed_reason = timezone.now(), reason
        contact.save(update_fields=["suppressed_at", "suppressed_reason"])
        record(
            action="notifications.contact.suppressed",
            actor=f"provider:{row.provider}",
            target=f"user:{row.user_id}",
            data={"via": row.channel, "reason": reason},
        )


def is_uuid(value: Any) -> bool:
    try:
        uuid.UUID(str(value))
    except ValueError:
        return False
    return True
