"""Celery tasks of `jobs`: one runs any job; two keep house."""

import time
import uuid
from typing import Any

from celery import Task, shared_task
from celery.worker.request import Request

from accounts.permissions import IsAdmin
from jobs.services import JobRun, JobType, note_killed, purge, recover, register, run_job
from jobs.services.running import LeaseHeld


class JobRequest(Request):
    """Celery's view of a running job from the worker's parent process."""

    def on_timeout(self, soft: bool, timeout: float) -> None:
        """Note that the child is killed at the hard limit; `recover` then fails the job instead of repeating it."""
        super().on_timeout(soft, timeout)
        if not soft:
            note_killed(job_id=uuid.UUID(self.id))


class JobTask(Task):
    Request = "jobs.tasks:JobRequest"


@shared_task(
    bind=True,
    base=JobTask,
    name="jobs.run",
    acks_late=True,
    reject_on_worker_lost=True,
    ignore_result=True,
    max_retries=None,
)
def run(self: Task, job_id: str) -> str | None:
    """Run the job with this id. Delivered twice, it runs once; a delivery during another's lease comes back later."""
    try:
        return run_job(job_id=uuid.UUID(job_id))
    except LeaseHeld as held:
        # Should the other worker have been killed, its lease ends then; should it live, this finds the job ended.
        raise self.retry(countdown=held.seconds + 0.5, exc=held) from None


@shared_task(name="jobs.recover", ignore_result=True)
def recover_jobs() -> dict[str, int]:
    """Bring back jobs that a lost worker or broker left behind."""
    return dict(recover())


@shared_task(name="jobs.purge", ignore_result=True)
def purge_jobs() -> dict[str, int]:
    """Delete expired results and old jobs."""
    return purge()


def self_test(run: JobRun, value: dict[str, Any]) -> dict[str, Any]:
    """Count to `steps`, so that an operator sees the whole way through broker, worker and push."""
    for done in range(value["steps"]):
        run.progress(done=done, total=value["steps"], message="counting")
        time.sleep(value.get("pause_milliseconds", 0) / 1000)
    return {"steps": value["steps"], "attempt": run.attempt}


register(
    JobType(
        name="jobs.self_test",
        description="Counts to `steps`: shows that broker, worker and push work.",
        input_schema={
            "type": "object",
            "properties": {
                "steps": {"type": "integer", "minimum": 1, "maximum": 1000},
                "pause_milliseconds": {"type": "integer", "minimum": 0, "maximum": 1000},
            },
            "required": ["steps"],
            "additionalProperties": False,
        },
        handler=self_test,
        permission=IsAdmin,
        soft_time_limit_seconds=60,
        time_limit_seconds=70,
        memory_limit_mb=256,
    )
)
