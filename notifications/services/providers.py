"""The four ways out: SendGrid, Twilio, files and the log."""

import json
import logging
import re
import socket
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import Enum
from pathlib import Path
from typing import Any, Protocol

import requests
import urllib3
from anymail.exceptions import AnymailAPIError, AnymailError
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone
from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from notifications.backends import SendGridBackend
from notifications.exceptions import OutcomeUnknown, ProviderError, Refused, Unavailable
from notifications.models import Channel, Notification
from notifications.services.rendering import Rendered

logger = logging.getLogger(__name__)
# 429: too many; 408, 425 and 5xx: not now. Any other refusal stays one.
RETRYABLE = {408, 425, 429, 500, 502, 503, 504}
MAX_RETRY_AFTER_SECONDS = 3600


class Knowledge(Enum):
    """What a provider says of a message that we are not sure of."""

    NOT_THERE = "not_there"
    CANNOT_TELL = "cannot_tell"


class Provider(Protocol):
    name: str

    def send(self, notification: Notification, rendered: Rendered) -> str:
        """Hand a message over and return the provider's id for it. Raises Refused, Unavailable, OutcomeUnknown."""

    def look_up(self, notification: Notification, rendered: Rendered) -> str | Knowledge:
        """Return the provider's id of a message that may have been handed over, or what it knows instead."""


def provider_of(channel: str) -> Provider:
    """Return the provider that the settings name for a channel."""
    name = settings.NOTIFICATIONS_EMAIL_PROVIDER if channel == Channel.EMAIL else settings.NOTIFICATIONS_SMS_PROVIDER
    return PROVIDERS[name]()


def email_of(notification: Notification, rendered: Rendered) -> EmailMultiAlternatives:
    """Build the mail, with one-click unsubscribe (RFC 8058) and as automatic (RFC 3834)."""
    headers = {"Auto-Submitted": "auto-generated", "X-Notification-Id": str(notification.pk)}
    if rendered.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{rendered.unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message = EmailMultiAlternatives(
        subject=rendered.subject,
        body=rendered.text,
        from_email=settings.NOTIFICATIONS_FROM,
        to=[notification.address],
        headers=headers,
    )
    message.attach_alternative(rendered.html, "text/html")
    return message


class SendGrid:
    """Keeps one connection for as long as the instance lives: a run of deliveries, not longer.

    A connection that was idle for minutes may be closed by the other side just as a message is sent, and then
    nobody knows what became of it.
    """

    name = "sendgrid"

    def __init__(self) -> None:
        self.backend = SendGridBackend(
            api_key=settings.SENDGRID_API_KEY,
            api_url=settings.SENDGRID_API_URL,
            timeout=settings.NOTIFICATIONS_TIMEOUT_SECONDS,
        )
        self.backend.open()

    def send(self, notification: Notification, rendered: Rendered) -> str:
        message = email_of(notification, rendered)
        # SendGrid gives these back in its events, and finds messages by them.
        message.metadata = {"notification_id": str(notification.pk)}  # type: ignore[attr-defined]
        message.tags = [notification.event]  # type: ignore[attr-defined]
        message.track_opens = message.track_clicks = False  # type: ignore[attr-defined]
        try:
            self.backend.send_messages([message])
        except AnymailAPIError as error:
            # anymail's is a requests exception as well, with an answer or, when none came, without.
            response = getattr(error, "response", None)
            if response is not None:
                raise error_of(response.status_code, response.headers, response.text) from error
            raise connection_error(error) from error
        except (AnymailError, ValueError) as error:
            raise Refused("not_serialisable", str(error)) from error
        return str(message.anymail_status.message_id or "")  # type: ignore[attr-defined]

    def look_up(self, notification: Notification, rendered: Rendered) -> str | Knowledge:
        # Needs SendGrid's paid Email Activity; without it the answer is 403.
        try:
            answer = requests.get(
                f"{settings.SENDGRID_API_URL.rstrip('/')}/messages",
                params={"limit": "1", "query": f"(unique_args['notification_id']=\"{notification.pk}\")"},
                headers={"Authorization": f"Bearer {settings.SENDGRID_API_KEY}"},
                timeout=settings.NOTIFICATIONS_TIMEOUT_SECONDS,
            )
            if answer.status_code != 200:
                return Knowledge.CANNOT_TELL
            found = answer.json()["messages"]
            return str(found[0]["msg_id"]) if found else Knowledge.NOT_THERE
        except (requests.RequestException, KeyError, TypeError, ValueError):
            return Knowledge.CANNOT_TELL


class RebasedHttpClient(TwilioHttpClient):
    """Twilio's own client, for another base address, keeping the last answer's headers for Retry-After."""

    headers: Mapping[str, str]

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        url = url.replace("https://api.twilio.com", settings.TWILIO_API_URL.rstrip("/"), 1)
        self.headers = {}
        answer = super().request(method, url, *args, **kwargs)
        self.headers = answer.headers or {}
        return answer


class Twilio:
    name = "twilio"

    def __init__(self) -> None:
        self.http = RebasedHttpClient(timeout=settings.NOTIFICATIONS_TIMEOUT_SECONDS)
        self.client = Client(settings.TWILIO_ACCOUNT_SID, settings.TWILIO_AUTH_TOKEN, http_client=self.http)

    def send(self, notification: Notification, rendered: Rendered) -> str:
        sender = settings.TWILIO_FROM
        values: dict[str, Any] = {"to": notification.address, "body": rendered.text}
        values["messaging_service_sid" if sender.startswith("MG") else "from_"] = sender
        if settings.PUBLIC_URL.startswith("https://") or settings.NOTIFICATIONS_TRACKING:
            base = settings.PUBLIC_URL.rstrip("/")
            values["status_callback"] = f"{base}/notifications/webhooks/twilio/{notification.pk}"
        try:
            return str(self.client.messages.create(**values).sid)
        except requests.RequestException as error:
            raise connection_error(error) from error
        except TwilioException as error:
            status = getattr(error, "status", None)
            if not isinstance(status, int):
                raise OutcomeUnknown("answer_not_understood", str(error)) from error
            code = getattr(error, "code", None)
            raise error_of(status, self.http.headers, str(getattr(error, "msg", error)), code) from error

    def look_up(self, notification: Notification, rendered: Rendered) -> str | Knowledge:
        since = (notification.attempted_at or notification.created_at) - timedelta(seconds=60)
        try:
            found = self.client.messages.list(to=notification.address, date_sent_after=since, limit=50)
        except (requests.RequestException, TwilioException):
            return Knowledge.CANNOT_TELL
        known = set(
            Notification.objects.filter(provider_message_id__in=[message.sid for message in found]).values_list(
                "provider_message_id", flat=True
            )
        )
        for message in found:
            if message.body == rendered.text and message.sid not in known:
                return str(message.sid)
        return Knowledge.NOT_THERE


class Files:
    """Each mail a file; one's own machine needs no provider, and the admin shows them."""

    name = "file"

    def path(self, notification: Notification) -> Path:
        return Path(settings.NOTIFICATIONS_MAIL_DIR) / f"{notification.pk}.eml"

    def send(self, notification: Notification, rendered: Rendered) -> str:
        path = self.path(notification)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        unfinished.write_bytes(email_of(notification, rendered).message().as_bytes())
        unfinished.rename(path)
        return path.name

    def look_up(self, notification: Notification, rendered: Rendered) -> str | Knowledge:
        path = self.path(notification)
        return path.name if path.exists() else Knowledge.NOT_THERE


class Log:
    """Each SMS a line of the log."""

    name = "log"

    def send(self, notification: Notification, rendered: Rendered) -> str:
        logger.info("SMS to %s: %s", notification.address, rendered.text)
        return ""

    def look_up(self, notification: Notification, rendered: Rendered) -> str | Knowledge:
        return Knowledge.CANNOT_TELL


PROVIDERS: dict[str, type] = {"sendgrid": SendGrid, "twilio": Twilio, "file": Files, "log": Log}


def connection_error(error: Exception) -> ProviderError:
    """Tell a connection that never stood (nothing was sent) from one that broke after the message was on its way."""
    causes: list[BaseException] = []
    pending: list[Any] = [error]
    while pending:
        cause = pending.pop()
        if isinstance(cause, BaseException) and cause not in causes:
            causes.append(cause)
            pending += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
    never_stood = (
        requests.ConnectTimeout,
        urllib3.exceptions.NewConnectionError,
        socket.gaierror,
        ConnectionRefusedError,
    )
    if any(isinstance(cause, never_stood) for cause in causes):
        return Unavailable("unreachable", type(error).__name__)
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
        return Refused("address_of_provider_invalid", type(error).__name__)
    code = (
        "timed_out" if any(isinstance(cause, requests.Timeout | TimeoutError) for cause in causes) else "connection_cut"
    )
    return OutcomeUnknown(code, type(error).__name__)


def error_of(status: int, headers: Mapping[str, str], body: str, code: int | None = None) -> ProviderError:
    """Turn a provider's answer into what it means for the message."""
    detail = said(body)
    name = f"provider_{code}" if code else f"http_{status}"
    if status in RETRYABLE:
        return Unavailable(name, detail, retry_after_seconds=retry_after(headers))
    return Refused(name, detail)


def said(body: str) -> str:
    """Take the provider's words out of its answer, without addresses."""
    try:
        parsed = json.loads(body)
        errors = parsed.get("errors") if isinstance(parsed, dict) else None
        if isinstance(errors, list):
            body = "; ".join(f"{e.get('field') or ''}: {e.get('message')}".strip(": ") for e in errors)
        elif isinstance(parsed, dict) and "message" in parsed:
            body = str(parsed["message"])
    except (ValueError, AttributeError):
        pass
    body = re.sub(r"[^\s@<>]+@[^\s@<>]+", "<address>", body)
    return re.sub(r"\+\d{6,}", "<number>", body)[:500]


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (seconds or a date, RFC 9110) or SendGrid's X-RateLimit-Reset, at most an hour."""
    wanted = {name.lower(): value for name, value in headers.items()}
    value = wanted.get("retry-after", "").strip()
    seconds: float | None = None
    if value.isdigit():
        seconds = float(value)
    elif value:
        try:
            seconds = (parsedate_to_datetime(value) - timezone.now()).total_seconds()
        except (ValueError, TypeError):
            seconds = None
    elif wanted.get("x-ratelimit-reset", "").isdigit():
        reset = datetime.fromtimestamp(int(wanted["x-ratelimit-reset"]), tz=timezone.get_default_timezone())
        seconds = (reset - timezone.now()).total_seconds()
    return None if seconds is None else min(max(seconds, 0), MAX_RETRY_AFTER_SECONDS)
