"""Starts, runs, cancels and clears jobs; the registry of their types."""

from jobs.services.registry import JobType, get_job_type, list_job_types, list_startable_types, register
from jobs.services.running import JobRun, run_job
from jobs.services.starting import cancel, enqueue, start
from jobs.services.upkeep import note_killed, purge, recover

__all__ = [
    "JobRun",
    "JobType",
    "cancel",
    "enqueue",
    "get_job_type",
    "list_job_types",
    "list_startable_types",
    "note_killed",
    "purge",
    "recover",
    "register",
    "run_job",
    "start",
]
