"""Fixtures for elections."""

from collections.abc import Iterator

import pytest

from elections.hot_reads import hot_reads
from jobs.services import JobType, register
from jobs.services.registry import list_job_types


@pytest.fixture(autouse=True)
def _cold_reads() -> Iterator[None]:
    """Start with no body in the process: tests share it, and their database rolls back."""
    hot_reads.clear()
    yield
    hot_reads.clear()


@pytest.fixture(autouse=True, scope="session")
def _chain_job_types() -> None:
    """The chain's jobs are named here and registered there; a stand-in only where that room is not loaded."""
    known = {job_type.name for job_type in list_job_types()}
    for name in ("chain.create_election", "chain.cancel_election", "chain.finalise_election"):
        if name not in known:
            register(JobType(name=name, input_schema={"type": "object"}, handler=lambda run, given: {}, queue="chain"))
