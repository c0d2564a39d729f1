"""Every job that an inner room starts by name is registered by the outer room that does it."""

import re
from pathlib import Path

import pytest

from config.celery import app
from jobs.services.registry import registered

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("elections", "zk", "notifications", "apikeys", "jobs", "accounts", "audit")
STARTED = re.compile(r"""start\(\s*type="([a-z_.]+)"|send\(\w+, "([a-z_.]+)\"""")


def started_names() -> set[str]:
    names = set()
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            if "tests" not in file.parts:
                names |= {one or other for one, other in STARTED.findall(file.read_text())}
    return names


def test_the_names_are_found() -> None:
    assert {"chain.create_election", "chain.cancel_election", "chain.finalise_election"} <= started_names()


@pytest.mark.parametrize("name", sorted(started_names()))
def test_a_name_that_is_started_is_registered(name: str) -> None:
    assert name in registered


@pytest.mark.parametrize("name", ["audit.verify_log", "audit.export_log"])
def test_the_audit_logs_tasks_wait_in_a_queue_of_their_own(name: str) -> None:
    assert app.amqp.router.route({}, name)["queue"].name == "audit"
