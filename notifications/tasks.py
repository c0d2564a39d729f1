"""Celery tasks and job types of `notifications`."""

from typing import Any

from celery import shared_task

from jobs.services import JobRun, JobType, register
from notifications.services import deliver_due, fan_out, purge


@shared_task(name="notifications.deliver", ignore_result=True)
def deliver() -> dict[str, int]:
    """Deliver what is due; any number of these may run at once."""
    return dict(deliver_due())


@shared_task(name="notifications.purge", ignore_result=True)
def purge_notifications() -> int:
    """Delete old notifications."""
    return purge()


def run_fan_out(run: JobRun, value: dict[str, Any]) -> dict[str, Any]:
    return {"made": fan_out(announcement_id=value["announcement"], progress=run.progress)}


register(
    JobType(
        name="notifications.fan_out",
        description="Writes one notification for each subscriber of an election's moment.",
        input_schema={
            "type": "object",
            "properties": {"announcement": {"type": "integer"}},
            "required": ["announcement"],
            "additionalProperties": False,
        },
        handler=run_fan_out,
        queue="notifications",
        soft_time_limit_seconds=600,
        time_limit_seconds=660,
        max_attempts=5,
    )
)
