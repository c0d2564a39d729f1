"""Wakes the workers that deliver; without it they look every ten seconds."""

import logging

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)


def kick() -> None:
    """Let a worker look for due notifications, on commit."""
    transaction.on_commit(send)


def send() -> None:
    try:
        current_app.send_task("notifications.deliver", queue="notifications", ignore_result=True, retry=False)
    except (OperationalError, OSError) as error:
        logger.warning("notifications wait for the next beat: the broker does not answer (%s)", type(error).__name__)
