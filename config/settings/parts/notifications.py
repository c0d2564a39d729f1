"""Settings of `notifications`."""

from pathlib import Path
from typing import Any

from celery.schedules import crontab
from django.core.exceptions import ImproperlyConfigured
from environs import validate

from config.settings.env import env, is_url

# Where mails and texts go: to files and the log on one's own machine.
NOTIFICATIONS_EMAIL_PROVIDER: str = env.str(
    "NOTIFICATIONS_EMAIL_PROVIDER", "file", validate=validate.OneOf(["file", "sendgrid"])
)
NOTIFICATIONS_SMS_PROVIDER: str = env.str(
    "NOTIFICATIONS_SMS_PROVIDER", "log", validate=validate.OneOf(["log", "twilio"])
)
NOTIFICATIONS_MAIL_DIR: Path = env.path("NOTIFICATIONS_MAIL_DIR", Path(".local/mails"))
NOTIFICATIONS_FROM: str = env.str("NOTIFICATIONS_FROM", "Psephos <noreply@localhost>")
NOTIFICATIONS_TRACKING: bool = env.bool("NOTIFICATIONS_TRACKING", True)

SENDGRID_API_KEY: str = env.str("SENDGRID_API_KEY", "")
SENDGRID_API_URL: str = env.str("SENDGRID_API_URL", "https://api.sendgrid.com/v3/", validate=is_url("http", "https"))
SENDGRID_WEBHOOK_KEY: str = env.str("SENDGRID_WEBHOOK_KEY", "")
TWILIO_ACCOUNT_SID: str = env.str("TWILIO_ACCOUNT_SID", "")
TWILIO_AUTH_TOKEN: str = env.str("TWILIO_AUTH_TOKEN", "")
TWILIO_FROM: str = env.str("TWILIO_FROM", "")
TWILIO_API_URL: str = env.str("TWILIO_API_URL", "https://api.twilio.com", validate=is_url("http", "https"))

NOTIFICATIONS_EMAILS_PER_SECOND: float = env.float("NOTIFICATIONS_EMAILS_PER_SECOND", 20)
NOTIFICATIONS_SMS_PER_SECOND: float = env.float("NOTIFICATIONS_SMS_PER_SECOND", 5)
# How many worker processes may be sending at once.
NOTIFICATIONS_SENDERS: int = env.int("NOTIFICATIONS_SENDERS", 2)
NOTIFICATIONS_MAX_RETRIES = 3
NOTIFICATIONS_RETRY_SECONDS: float = env.float("NOTIFICATIONS_RETRY_SECONDS", 30)
NOTIFICATIONS_TIMEOUT_SECONDS: float = env.float("NOTIFICATIONS_TIMEOUT_SECONDS", 15)
# After a broken connection the provider is asked what it knows; then, when it cannot tell, its webhook is awaited.
NOTIFICATIONS_SETTLE_SECONDS: float = env.float("NOTIFICATIONS_SETTLE_SECONDS", 120)
NOTIFICATIONS_HOLD_SECONDS: float = env.float("NOTIFICATIONS_HOLD_SECONDS", 3600)
NOTIFICATIONS_BATCH = 500
NOTIFICATIONS_RETENTION_DAYS: int = env.int("NOTIFICATIONS_RETENTION_DAYS", 180)


def check_notifications(values: dict[str, Any]) -> None:
    """Refuse to start with a provider whose keys are missing: an unsigned webhook must never be believed."""
    needed = []
    if values["NOTIFICATIONS_EMAIL_PROVIDER"] == "sendgrid":
        needed += ["SENDGRID_API_KEY", *(["SENDGRID_WEBHOOK_KEY"] if values["NOTIFICATIONS_TRACKING"] else [])]
    if values["NOTIFICATIONS_SMS_PROVIDER"] == "twilio":
        needed += ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM"]
    for name in needed:
        if not values[name]:
            raise ImproperlyConfigured(f"{name} is not set")


check_notifications(globals())

NOTIFICATIONS_BEAT: dict[str, dict[str, Any]] = {
    "notifications.deliver": {
        "task": "notifications.deliver",
        "schedule": 10.0,
        "options": {"queue": "notifications", "expires": 10},
    },
    "notifications.purge": {
        "task": "notifications.purge",
        "schedule": crontab(hour=3, minute=40),
        "options": {"queue": "notifications"},
    },
}
