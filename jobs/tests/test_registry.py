"""Every name that is started or scheduled is registered."""

import ast

import pytest
from celery import current_app
from django.conf import settings

from jobs.exceptions import JobTypeConflict, UnknownJobType
from jobs.services import JobType, get_job_type, list_job_types, register
from jobs.services.registry import QUEUES
from jobs.tests.factories import job_type, noop

APPS = ("chain", "elections", "zk", "notifications", "apikeys", "jobs", "accounts", "audit", "config")


def started_names() -> dict[str, str]:
    """Find `start(type="…")` (also as `jobs.start`, `start_job`) in the apps' sources."""
    found: dict[str, str] = {}
    for app in APPS:
        for path in (settings.BASE_DIR / app).rglob("*.py"):
            if "tests" in path.parts:
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if called not in ("start", "start_job"):
                    continue
                for keyword in node.keywords:
                    if keyword.arg == "type" and isinstance(keyword.value, ast.Constant):
                        found[keyword.value.value] = f"{path.relative_to(settings.BASE_DIR)}:{node.lineno}"
    return found


@pytest.mark.slow
def test_every_started_name_is_registered():
    registered = {found.name for found in list_job_types()}
    missing = {name: place for name, place in started_names().items() if name not in registered}
    assert not missing


def test_every_scheduled_task_is_known_and_goes_to_a_served_queue():
    current_app.loader.import_default_modules()
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        assert entry["task"] in current_app.tasks, name
        assert entry.get("options", {}).get("queue", "default") in QUEUES, name


def test_registered_types_say_what_they_do_when_they_are_open():
    for found in list_job_types():
        if found.permission and not found.name.startswith("tests."):
            assert found.description, found.name
            assert found.input_schema.get("additionalProperties") is False, found.name


def test_a_name_belongs_to_one_handler():
    with job_type() as made:
        assert register(made) is made
        with pytest.raises(JobTypeConflict):
            register(JobType(name=made.name, input_schema={}, handler=lambda run, value: {}))
    with pytest.raises(UnknownJobType):
        get_job_type(made.name)


@pytest.mark.parametrize(
    "wrong",
    [
        {"queue": "elsewhere"},
        {"soft_time_limit_seconds": 10, "time_limit_seconds": 10},
        {"max_attempts": 0},
        {"input_schema": {"type": "no-such-type"}},
    ],
)
def test_a_type_with_impossible_limits_is_refused(wrong):
    with pytest.raises(Exception, match=r"tests\.noop|no-such-type"):
        JobType(**({"name": "tests.noop", "input_schema": {}, "handler": noop} | wrong))
