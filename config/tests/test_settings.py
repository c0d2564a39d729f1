import json
import subprocess
import sys

import pytest

from audit.note import SigningKey
from config.settings.env import env
from config.settings.parts.audit import AUDIT_DEVELOPMENT_KEY
from config.tests.settings_reader import ROOT, documented_names, environment_reads
from deploy.local.lint import plain_environment, production_environment, sequencer_environment

# Imports the settings once a case, each in a fork of its own, and reports exit status and what was said.
RUNNER = """
import json, os, sys, tempfile
import celery, environs, django.core.exceptions
cases, results = json.load(sys.stdin), []
for module, variables in cases:
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            os.dup2(said.fileno(), 2)
            for name, value in variables.items():
                os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)
            try:
                __import__(module)
            except SystemExit as error:
                print(error.code, file=sys.stderr, flush=True)
                os._exit(1)
            except BaseException:
                import traceback
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(2)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        results.append([status, said.read().decode()])
json.dump(results, sys.stdout)
"""


def read_settings(cases):
    """Import a settings module once per case of (module, variables); return (exit status, standard error) of each."""
    done = subprocess.run(
        [sys.executable, "-c", RUNNER],
        input=json.dumps(cases),
        env=plain_environment(),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def malformed(read):
    """Return a value that the setting cannot mean, or None where any text is a value."""
    if read.name.endswith(("_URL", "_URLS")) or read.is_validated:
        return "no such thing"
    kind = read.subcast if read.method == "list" else read.method
    return {
        "int": "several",
        "float": "several",
        "bool": "perhaps",
        "dict": "no such thing",
        "numbers": "no such thing",
        "json": "{",
        "dj_db_url": "no such thing",
        "url": "no such thing",
        "timedelta": "a while",
        "uuid": "no such thing",
    }.get(kind)


def test_env_example_names_every_setting_and_no_other():
    read = {found.name for found in environment_reads()}
    assert sorted(read - set(documented_names())) == [], "missing in .env.example"
    assert sorted(set(documented_names()) - read) == [], "in .env.example, but nothing reads it"


def test_env_example_names_each_setting_once():
    names = documented_names()
    assert sorted(names) == sorted(set(names))


def test_a_list_may_have_spaces_after_its_commas(monkeypatch):
    monkeypatch.setenv("ALLOWED_HOSTS", "a.example, b.example ,c.example")
    assert env.list("ALLOWED_HOSTS", []) == ["a.example", "b.example", "c.example"]
    monkeypatch.delenv("ALLOWED_HOSTS")
    assert env.list("ALLOWED_HOSTS", ["localhost"]) == ["localhost"]


@pytest.mark.slow
def test_a_malformed_setting_is_refused_by_one_line_that_names_it():
    cases = {read.name: value for read in environment_reads() if (value := malformed(read)) is not None}
    assert {"DATABASE_URL", "DATABASE_POOL_SIZE", "LOG_LEVEL", "REDIS_URL"} <= set(cases)
    results = read_settings([("config.settings.local", {name: value}) for name, value in cases.items()])
    for name, (status, said) in zip(cases, results, strict=True):
        assert status == 1, (name, said)
        assert said.count("\n") == 1, (name, said)
        assert said.startswith("configuration: "), (name, said)
        assert name in said


@pytest.mark.slow
@pytest.mark.parametrize("whole", [production_environment(), sequencer_environment()], ids=["production", "sequencer"])
def test_production_starts_with_its_secrets_and_refuses_without(whole):
    required = [name for name in whole if name != "DJANGO_SETTINGS_MODULE"]
    module = whole["DJANGO_SETTINGS_MODULE"]
    cases = [(module, whole), *((module, whole | {name: None}) for name in required)]
    (status, said), *refused = read_settings(cases)
    assert status == 0, said
    for name, (status, said) in zip(required, refused, strict=True):
        assert status == 1, (name, said)
        assert said.startswith(f"configuration: {name}"), said
        assert said.count("\n") == 1


@pytest.mark.slow
def test_production_refuses_the_public_key_of_the_audit_log_and_one_role_for_two():
    key = AUDIT_DEVELOPMENT_KEY
    cases = [
        ("config.settings.sequencer", sequencer_environment() | {"AUDIT_SIGNING_KEY": key}),
        ("config.settings.production", production_environment() | {"AUDIT_SIGNING_KEY": key}),
        (
            "config.settings.production",
            production_environment() | {"AUDIT_VERIFIER_KEYS": str(SigningKey.parse(key).verifier())},
        ),
        ("config.settings.local", {"DATABASE_SEQUENCER_ROLE": "psephos_app"}),
    ]
    said = [(status, line) for status, line in read_settings(cases)]
    assert said == [
        (1, "configuration: AUDIT_SIGNING_KEY is the public development key\n"),
        (1, "configuration: AUDIT_SIGNING_KEY is the public development key\n"),
        (1, "configuration: AUDIT_VERIFIER_KEYS holds the public development key\n"),
        (1, "configuration: DATABASE_SEQUENCER_ROLE must be another role than DATABASE_APP_ROLE\n"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("key", ["insecure-development-key-do-not-use-in-production-xxxxxxxxxxxx", "short"])
def test_production_refuses_a_development_key(key):
    [(status, said)] = read_settings([("config.settings.production", production_environment() | {"SECRET_KEY": key})])
    assert status == 1
    assert said.startswith("configuration: SECRET_KEY is a development key")


@pytest.mark.slow
def test_a_secret_can_come_from_a_file(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x1" * 40)
    variables = production_environment() | {"SECRET_KEY": None, "SECRET_KEY_FILE": str(secret)}
    [(status, said)] = read_settings([("config.settings.production", variables)])
    assert status == 0, said


@pytest.mark.slow
@pytest.mark.parametrize("command", [["manage.py", "check"], ["-m", "celery", "-A", "config", "report"]])
def test_every_entry_point_says_one_line(command):
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=plain_environment() | {"DATABASE_POOL_SIZE": "several"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "DATABASE_POOL_SIZE" in done.stderr
