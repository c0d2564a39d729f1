"""Every service's very command as a process, with production settings."""

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import psycopg
import pytest
import requests

from deploy.local.lint import plain_environment, production_environment, sequencer_environment
from deploy.local.services import ROOT, free_port
from deploy.tests.conftest import wait_for
from deploy.tests.containers import BIN, OWN, example_of

# Several services share a probe; each is run once.
probed: set[tuple[str, ...]] = set()


def environment_of(service, values):
    """Return what a service is given: of the values those that its files name, its own, and what the machine adds."""
    given = {}
    for file in service["env_file"]:
        given |= {name: values[file][name] for name in example_of(file) if name in values[file]}
    return values[""] | given | {name: str(value) for name, value in service.get("environment", {}).items()}


@pytest.fixture(scope="module")
def production(tmp_path_factory):
    """Values for each file of variables, over a database of its own, migrated by the compose file's own command."""
    superuser = os.environ["DATABASE_URL"]
    name = f"containers_{os.getpid()}"
    with psycopg.connect(superuser.replace("/psephos", "/postgres", 1), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} OWNER psephos_owner")
    base = superuser.replace("/psephos", f"/{name}", 1)
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) + 40
    url = {role: base.replace("postgres:@", f"psephos_{role}:@", 1) for role in ("app", "owner", "sequencer")}
    values = {
        "": plain_environment()
        | {
            "STATIC_ROOT": str(tmp_path_factory.mktemp("static")),
            "PROMETHEUS_MULTIPROC_DIR": str(tmp_path_factory.mktemp("metrics")),
            "PATH": f"{BIN}:{os.environ['PATH']}",
        },
        ".env.production": production_environment()
        | {
            "DATABASE_URL": url["app"],
            "REDIS_URL": f"{os.environ['PSEPHOS_TEST_REDIS']}/{number}",
            "ALLOWED_HOSTS": "127.0.0.1",
            "CHAIN_CONTRACTS": "psephos@0x5fbdb2315678afecb367f032d93f642f64180aa3@0",
            "CHAIN_RPC_URLS": "http://127.0.0.1:9",
        },
        ".env.migration": {"MIGRATION_DATABASE_URL": url["owner"]},
        ".env.sender": {"CHAIN_SENDER_KEY": "0x" + "a5" * 32},
        ".env.sequencer": sequencer_environment() | {"DATABASE_URL": url["sequencer"]},
    }
    run = OWN["migrate"]["command"]
    done = subprocess.run(
        [str(BIN / run[0]), *run[1:]],
        cwd=ROOT,
        env=environment_of(OWN["migrate"], values),
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return values


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.xdist_group("containers")
@pytest.mark.parametrize("name", [name for name in OWN if name != "migrate"])
def test_a_service_s_command_starts_answers_its_probe_and_ends_on_sigterm(name, production, tmp_path):
    service = OWN[name]
    command = [shlex.quote(part) if " " in part else part for part in service["command"]]
    command = ["4" if part.startswith("${PROOF_CONCURRENCY") else part for part in command]
    port = None
    environment = environment_of(service, production)
    if "--port" in command:
        port = command[command.index("--port") + 1] = str(free_port())
    if "METRICS_PORT" in environment:
        environment["METRICS_PORT"] = port = str(free_port())
    if name == "beat":
        command[command.index("-s") + 1] = str(tmp_path / "beat")
    log = (tmp_path / "log").open("w+")
    process = subprocess.Popen(
        [str(BIN / command[0]), *command[1:]],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )

    def said():
        return Path(log.name).read_text()[-3000:]

    def answers():
        assert process.poll() is None, said()
        token = {"Authorization": f"Bearer {environment.get('METRICS_TOKEN')}", "X-Forwarded-Proto": "https"}
        return requests.get(f"http://127.0.0.1:{port}/metrics", headers=token, timeout=5).status_code == 200

    try:
        wait_for(answers, seconds=100, what=f"{name}: {said()}")
        probe = service["healthcheck"]["test"][1:]
        # There is no node in this test, so the indexer's own probe would rightly fail.
        if name != "indexer" and tuple(probe) not in probed:
            probed.add(tuple(probe))
            done = subprocess.run(
                [str(BIN / probe[0]), *probe[1:]],
                cwd=ROOT,
                env=environment | {"METRICS_PORT": "0"},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stdout + done.stderr
        if name == "sequencer":
            wait_for(lambda: "this sequencer leads" in said(), what="the lead")
        if name == "beat":
            # It shows metrics before it has its schedule open; a signal in between is a traceback of shelve's.
            def is_settled():
                files = list(tmp_path.glob("beat*"))
                return files and time.time() - max(file.stat().st_mtime for file in files) > 2

            wait_for(is_settled, what="the schedule")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM, 143), said()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        log.close()
    assert "Traceback" not in said()
