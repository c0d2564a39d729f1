import io
import json
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, ManagementUtility, call_command
from django.db import OperationalError, ProgrammingError
from psycopg.errors import InsufficientPrivilege, UndefinedTable
from psycopg.errors import SyntaxError as PostgresSyntaxError
from redis.exceptions import RedisError
from rest_framework.exceptions import PermissionDenied

from accounts.models import Role
from accounts.tests.factories import UserFactory
from audit.models import Entry
from chain.exceptions import NodeUnavailable
from config import backend_admin, health
from config.tests.settings_reader import ROOT
from deploy.local.lint import plain_environment

pytestmark = pytest.mark.django_db


def call(name, *arguments):
    """Run a command in this process; return its exit status and what it wrote."""
    output = io.StringIO()
    try:
        call_command(name, *arguments, stdout=output)
    except SystemExit as error:
        return error.code, output.getvalue()
    return 0, output.getvalue()


def run_script(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "config.backend_admin", *arguments],
        cwd=ROOT,
        env=plain_environment() | environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


# healthcheck


def test_healthcheck_of_what_answers_succeeds():
    status, said = call("healthcheck", "--only", "postgresql", "--only", "redis", "--only", "broker", "--json")
    assert status == 0
    report = json.loads(said)
    assert report["status"] == "ok"
    assert [part["name"] for part in report["parts"]] == ["postgresql", "redis", "broker"]
    assert all(part["milliseconds"] > 0 for part in report["parts"])


def test_healthcheck_names_what_fails_and_exits_with_1(settings):
    settings.CHAIN_RPC_URLS = ["http://127.0.0.1:9"]
    status, said = call("healthcheck", "--only", "node", "--only", "chain", "--only", "postgresql")
    assert status == 1
    assert "✗ node" in said
    assert "no node answers" in said
    assert "✗ chain" in said
    assert "✓ postgresql" in said


def test_healthcheck_refuses_a_node_of_another_chain(settings, anvil):
    settings.CHAIN_RPC_URLS, settings.CHAIN_ID = [anvil], 1
    part = health.run_check("node")
    assert not part.is_up


@pytest.mark.slow
def test_healthcheck_finds_no_worker():
    assert health.run_check("workers").error == "no worker answers"


def test_healthcheck_knows_unapplied_migrations(monkeypatch):
    assert health.run_check("migrations").is_up
    from django.db.migrations.recorder import MigrationRecorder

    applied = MigrationRecorder.applied_migrations

    def without_last_of_jobs(self):
        return {key: value for key, value in applied(self).items() if key[0] != "jobs"}

    monkeypatch.setattr(MigrationRecorder, "applied_migrations", without_last_of_jobs)
    assert "are not applied" in health.run_check("migrations").error


@pytest.mark.slow
def test_healthcheck_waits_until_all_is_well(monkeypatch):
    queues = [{"name": name} for name in ("default", "proofs", "chain", "notifications", "audit")]
    answers = iter([{}, {"one@host": queues}])

    class Inspect:
        def active_queues(self):
            return next(answers)

    monkeypatch.setattr(health.celery_app.control, "inspect", lambda timeout: Inspect())
    assert call("healthcheck", "--only", "workers", "--wait", "30")[0] == 0


@pytest.mark.slow
def test_healthcheck_refuses_a_part_that_there_is_not():
    done = run_script("healthcheck", "--only", "moon")
    assert done.returncode == 2
    assert "moon is none of postgresql" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_exception_s_text_is_not_shown(monkeypatch):
    def fail():
        raise RuntimeError("password=hunter2")

    monkeypatch.setitem(health.CHECKS, "redis", fail)
    assert health.run_check("redis").error == "RuntimeError"


# list_users, rotate_keys, seed_demo


def test_list_users_filters_by_role():
    admin, viewer = UserFactory(role=Role.ADMIN), UserFactory(role=Role.VIEWER)
    status, said = call("list_users", "--role", "admin", "--json")
    assert status == 0
    assert [row["id"] for row in json.loads(said)] == [str(admin.pk)]
    status, said = call("list_users")
    assert str(viewer.pk) in said


def test_rotate_keys_seals_again_and_leaves_an_entry():
    status, said = call("rotate_keys", "--json")
    assert status == 0
    assert json.loads(said)["resealed"] == 0
    assert Entry.objects.filter(action__startswith="accounts.").exists()


def test_seed_demo_refuses_a_chain_that_is_not_for_development(settings, monkeypatch):
    from chain.nodes import Node

    answers = {"eth_chainId": "0x1", "web3_clientVersion": "Geth/v1.16"}
    monkeypatch.setattr(Node, "call", lambda self, method, *_, **__: answers[method])
    settings.CHAIN_RPC_URLS = ["http://127.0.0.1:9"]
    with pytest.raises(CommandError, match="takes a development chain"):
        call_command("seed_demo")


# backend-admin


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["list-users", "--role=admin"], ["list_users", "--role=admin"]),
        (["seed-demo"], ["seed_demo"]),
        (["migrate", "--plan"], ["migrate", "--plan"]),
        (["--version"], ["--version"]),
        (["create-election", "a-title", "--start-in", "3"], ["create_election", "a-title", "--start-in", "3"]),
    ],
)
def test_backend_admin_takes_hyphens(typed, meant):
    assert backend_admin.to_command(typed) == meant


@pytest.mark.slow
def test_backend_admin_lists_every_command_with_its_help():
    done = run_script()
    assert done.returncode == 0
    for name in ("healthcheck", "list-users", "migrate", "seed-demo", "create-election", "index-chain", "rotate-keys"):
        line = next(line for line in done.stdout.splitlines() if line.strip().startswith(f"{name} "))
        assert len(line.split(maxsplit=1)[1]) > 15, f"{name} has no help"
    assert " object at 0x" not in done.stdout


@pytest.mark.slow
def test_backend_admin_knows_no_other_command():
    done = run_script("make-coffee")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_every_command_of_ours_has_help():
    done = run_script("healthcheck", "--help")
    assert done.returncode == 0
    assert "--wait" in done.stdout


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OperationalError("could not connect\nIs it running?"), "the database does not answer: could not connect "),
        (caused(ProgrammingError("no relation"), UndefinedTable()), "the database is not migrated"),
        (caused(ProgrammingError("permission denied"), InsufficientPrivilege()), "the database refuses: "),
        (RedisError("refused"), "Redis does not answer: refused "),
        (NodeUnavailable("silence"), "the node does not answer: silence "),
        (FileNotFoundError(2, "No such file", "/nowhere/x.zip"), "a file or folder cannot be used: [Errno 2]"),
        (PermissionDenied(), "refused: "),
        (ImproperlyConfigured("a key is missing"), "configuration: a key is missing"),
    ],
)
@pytest.mark.parametrize(("command", "code"), [("list_users", 1), ("verify_audit", 2)])
def test_what_is_in_a_commands_way_is_one_line(monkeypatch, capsys, error, line, command, code):
    def fail(*_):
        raise error

    monkeypatch.setattr(ManagementUtility, "execute", fail)
    monkeypatch.setattr(sys, "argv", ["manage.py", command])
    with pytest.raises(SystemExit) as exit_:
        backend_admin.run(sys.argv)
    # 1 is verify_audit's word for a log that was tampered with.
    assert exit_.value.code == code
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1


@pytest.mark.parametrize("command", ["verify-audit", "list-users"])
@pytest.mark.parametrize("arguments", [["--nonsense"], ["--processes", "x", "--role", "x"]])
def test_wrong_arguments_exit_with_2_also_where_1_is_a_finding(monkeypatch, capsys, command, arguments):
    monkeypatch.setattr(sys, "argv", ["backend-admin", command, *arguments])
    with pytest.raises(SystemExit) as exit_:
        backend_admin.main()
    assert exit_.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("error", [RedisError("refused"), NodeUnavailable("silence")])
def test_a_traceback_is_shown_to_whoever_asks_for_it(monkeypatch, error):
    def fail(*_):
        raise error

    monkeypatch.setattr(ManagementUtility, "execute", fail)
    monkeypatch.setattr(sys, "argv", ["backend-admin", "list-users", "--traceback"])
    with pytest.raises(type(error)):
        backend_admin.main()


def test_a_fault_of_our_own_keeps_its_traceback(monkeypatch):
    def fail(*_):
        raise caused(ProgrammingError("syntax error"), PostgresSyntaxError())

    monkeypatch.setattr(ManagementUtility, "execute", fail)
    with pytest.raises(ProgrammingError):
        backend_admin.run(["manage.py", "list_users"])
