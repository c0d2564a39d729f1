"""Whatever changes something leaves an audit entry: all doors are found, each is listed, each is gone through."""

import ast
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.contrib import admin
from django.core.management import get_commands
from django.urls import URLPattern, URLResolver, get_resolver

from audit.models import Entry
from config.celery import app as celery
from config.schema import schema
from config.tests import audit_doors
from config.tests.audit_doors import ADMINS, COMMANDS, MUTATIONS, ROUTES, TASKS
from config.tests.audit_world import Door, Elsewhere, World
from jobs.services import JobRun, registry, run_job, start
from notifications.tests.conftest import sendgrid, twilio  # noqa: F401

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = ("accounts", "apikeys", "audit", "chain", "config", "elections", "jobs", "notifications", "zk")
MUTATING = ("POST", "PUT", "PATCH", "DELETE")
# Function views that answer to GET alone, or (the admin's own pages) are looked at as admins below.
READING = {"config.views", "config.metrics", "elections.pages", "config.graphql.graphiql"}
# The sequencer, the export and the verification see committed rows only.
COMMITTED = {"export_audit", "verify_audit", "migrate", "audit.export_log", "audit.verify_log", "chain.anchor_audit"}


def walk(resolver, prefix=""):
    for pattern in resolver.url_patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            if pattern.app_name != "admin":
                yield from walk(pattern, route)
        elif isinstance(pattern, URLPattern):
            yield route, pattern.callback


def routes():
    found = set()
    for route, view in walk(get_resolver()):
        name = "metadata/{hash}" if route.startswith("^metadata/") else route
        view_class = getattr(view, "view_class", None) or getattr(view, "cls", None)
        if view_class is not None:
            found |= {f"{method} {name}" for method in MUTATING if hasattr(view_class, method.lower())}
        elif view.__module__ not in READING:
            found.add(f"POST {name}")
    return found


def admin_doors():
    request = SimpleNamespace(user=SimpleNamespace(has_perm=lambda *_: True, is_admin=True, is_active=True))
    found = set()
    for model, model_admin in admin.site._registry.items():
        label = model._meta.label
        for verb in ("add", "change", "delete"):
            if getattr(model_admin, f"has_{verb}_permission")(request):
                found.add(f"{label} {verb}")
        found |= {f"{label} {action}" for action in model_admin.actions or ()}
    return found


def test_every_mutating_route_is_listed():
    assert routes() == set(ROUTES)


def test_every_mutation_is_listed():
    assert set(schema.graphql_schema.mutation_type.fields) == set(MUTATIONS)


def test_every_admin_that_changes_something_is_listed():
    assert admin_doors() == set(ADMINS)


def test_every_command_is_listed():
    assert {name for name, place in get_commands().items() if place in OURS} == set(COMMANDS)


def test_every_task_is_listed():
    celery.loader.import_default_modules()
    assert {name for name in celery.tasks if name.partition(".")[0] in OURS} == set(TASKS)


ALL = {**ROUTES, **MUTATIONS, **ADMINS, **COMMANDS, **TASKS}


@pytest.fixture
def world(request, settings, tmp_path):
    settings.AUDIT_EXPORT_STORAGE = {"BACKEND": "audit.storage.WriteOnceFolder", "OPTIONS": {"location": tmp_path}}
    settings.AUDIT_ANCHOR_CONTRACT = ""
    settings.CHAIN_DEPLOYMENT_FILE = ""
    settings.NOTIFICATIONS_SETTLE_SECONDS = 0
    settings.NOTIFICATIONS_MAIL_DIR = tmp_path / "mails"
    settings.PUBLIC_URL = "https://psephos.example"
    return World(request.getfixturevalue)


def go_through(name, world):
    door = ALL[name]
    before = set(Entry.objects.values_list("pk", flat=True))
    door.enter(world)
    actions = list(Entry.objects.exclude(pk__in=before).values_list("action", flat=True))
    assert any(action.startswith(door.action) for action in actions), (name, actions)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", [name for name, door in ALL.items() if isinstance(door, Door) and name not in COMMITTED]
)
def test_a_door_leaves_an_entry(name, world):
    go_through(name, world)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", sorted(COMMITTED))
def test_a_door_over_committed_rows_leaves_an_entry(name, world):
    go_through(name, world)


@pytest.mark.parametrize("name", [name for name, door in ALL.items() if isinstance(door, Elsewhere)])
def test_a_door_that_takes_a_chain_is_gone_through_elsewhere(name):
    door = ALL[name]
    file, _, function = door.test.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    [found] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    texts = [node.value for node in ast.walk(found) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    assert door.action in texts, f"{door.test} looks for no entry of {door.action}"


@pytest.mark.django_db
def test_a_job_of_any_type_leaves_an_entry_at_its_start_and_its_end(monkeypatch):
    celery.loader.import_default_modules()

    def done(run: JobRun, value: dict) -> dict:
        return {}

    for name, job_type in list(registry.registered.items()):
        easy = replace(job_type, handler=done, input_schema={"type": "object"}, memory_limit_mb=None)
        monkeypatch.setitem(registry.registered, name, easy)
        job = start(type=name, input={})
        run_job(job_id=job.pk, has_lease_thread=False)
        actions = set(Entry.objects.filter(target=f"job:{job.pk}").values_list("action", flat=True))
        assert actions == {"jobs.job.started", "jobs.job.succeeded"}, name


def test_the_table_names_no_door_twice():
    assert len(ALL) == sum(map(len, (ROUTES, MUTATIONS, ADMINS, COMMANDS, TASKS)))
    assert audit_doors.__doc__
