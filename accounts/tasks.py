"""Periodic work of `accounts`."""

from typing import Any

from celery import shared_task

from accounts.services import purge_expired, read_admin_metrics
from audit.context import auditing


@shared_task(name="accounts.purge_expired")
def purge() -> dict[str, int]:
    with auditing(actor="system:accounts"):
        return purge_expired()


@shared_task(name="accounts.sample_metrics", ignore_result=True)
def sample_metrics() -> None:
    """Look at the request counters, so that the dashboard has a history when somebody opens it."""
    figures: dict[str, Any] = read_admin_metrics(only={"requests"})
    assert "requests" in figures
