"""Fixtures for elections."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.db import connections

from deploy.local import services
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


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """The whole site over HTTP and WebSocket in a process of its own, on the test's database and Redis."""
    name = connections["default"].settings_dict["NAME"]
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    environment = os.environ | {"DATABASE_URL": database}
    port = services.free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "config.asgi:application",
        "--port",
        str(port),
        "--log-level",
        "warning",
    ]
    log = tmp_path / "site.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=services.ROOT)
    address = f"http://127.0.0.1:{port}"
    services.wait_until("site", lambda: requests.get(f"{address}/healthz", timeout=2).ok, process, log, 60)
    yield address
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
