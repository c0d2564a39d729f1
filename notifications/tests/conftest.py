"""Providers for tests."""

from collections.abc import Iterator

import pytest

from notifications.tests.mocks import (
    SENDGRID_KEY,
    TWILIO_SID,
    TWILIO_TOKEN,
    Mock,
    SendGridHandler,
    TwilioHandler,
    serve,
)


@pytest.fixture(autouse=True)
def _fast(settings, tmp_path) -> None:
    settings.NOTIFICATIONS_MAIL_DIR = tmp_path / "mails"
    settings.NOTIFICATIONS_RETRY_SECONDS = 0
    settings.NOTIFICATIONS_SETTLE_SECONDS = 0
    settings.NOTIFICATIONS_TIMEOUT_SECONDS = 5
    settings.NOTIFICATIONS_EMAILS_PER_SECOND = 1000
    settings.NOTIFICATIONS_SMS_PER_SECOND = 1000
    settings.PUBLIC_URL = "https://psephos.example"


@pytest.fixture
def sendgrid(settings) -> Iterator[Mock]:
    with serve(SendGridHandler) as mock:
        settings.NOTIFICATIONS_EMAIL_PROVIDER = "sendgrid"
        settings.SENDGRID_API_KEY = SENDGRID_KEY
        settings.SENDGRID_API_URL = f"{mock.url}/v3/"
        yield mock


@pytest.fixture
def twilio(settings) -> Iterator[Mock]:
    with serve(TwilioHandler) as mock:
        settings.NOTIFICATIONS_SMS_PROVIDER = "twilio"
        settings.TWILIO_ACCOUNT_SID = TWILIO_SID
        settings.TWILIO_AUTH_TOKEN = TWILIO_TOKEN
        settings.TWILIO_FROM = "+15005550006"
        settings.TWILIO_API_URL = mock.url
        yield mock
