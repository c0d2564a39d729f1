"""Celery tasks of the audit log; each leaves an entry of its own."""

from celery import shared_task

from audit.context import auditing
from audit.exceptions import NoCheckpoint, NothingToExport
from audit.services import export_log as export
from audit.services import verify_log as verify


@shared_task(name="audit.export_log", autoretry_for=(OSError,), retry_backoff=60, max_retries=5)
def export_log() -> str | None:
    """Write the day's export into the write-once store."""
    with auditing(actor="system:worker"):
        try:
            return export().name
        except (NothingToExport, NoCheckpoint):
            return None


@shared_task(name="audit.verify_log")
def verify_log() -> str:
    """Verify the whole log; the outcome is kept, and logged as an error unless it is whole."""
    with auditing(actor="system:worker"):
        return verify(processes=1).outcome
