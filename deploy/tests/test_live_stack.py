"""The whole stack as a newcomer starts it. The tests run in order: the later ones stop and kill it."""

import importlib
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
import redis
import requests
import websockets.sync.client
import yaml
from prometheus_client import REGISTRY

from deploy.local import services
from deploy.local.lint import plain_environment
from deploy.local.services import ROOT, free_port, launch
from deploy.tests.conftest import LocalRun, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("live-stack"), pytest.mark.timeout(400)]

DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
STAGES = {"pending", "open", "tallied", "cancelled"}


def test_elections_are_there_when_it_says_ready(stack):
    assert stack.elections() or "still on their way" in stack.said()


def test_elections_at_every_stage_are_voted_on_by_transactions(stack):
    def has_all():
        found = stack.elections()
        statuses = {election["status"] for election in found}
        return statuses >= STAGES and sum(election["turnout"] for election in found) > 30 and found

    found = wait_for(has_all, what="elections at every stage")
    detail = requests.get(f"{stack.url}/elections/{found[0]['id']}", timeout=5).json()
    assert detail["id"] == found[0]["id"]
    before = sum(election["turnout"] for election in stack.elections())
    wait_for(lambda: sum(election["turnout"] for election in stack.elections()) > before, what="further votes")


def test_a_secret_ballot_is_voted_on_with_proofs(stack):
    def has_proven_vote():
        for election in stack.elections():
            detail = requests.get(f"{stack.url}/elections/{election['id']}", timeout=5).json()
            if detail["verifier"] and election["turnout"]:
                return True
        return False

    wait_for(has_proven_vote, what="a vote with a proof")


def test_the_sockets_tick(stack):
    address = stack.url.replace("http", "ws") + "/ws/chain"
    with websockets.sync.client.connect(address) as socket:
        blocks = []
        while len(set(blocks)) < 3:
            message = json.loads(socket.recv(timeout=30))
            if "block" in message:
                assert "remaining" in message
                blocks.append(message["block"])


def test_the_pages_show_the_elections(stack):
    page = requests.get(f"{stack.url}/", timeout=10)
    assert page.status_code == 200
    assert stack.elections()[0]["title"] in page.text


def test_everything_is_ready(stack):
    assert requests.get(f"{stack.url}/readyz", timeout=10).status_code == 200


def run_prometheus(folder: Path, target: str) -> tuple[subprocess.Popen, str]:
    """Start the real Prometheus with our rules, scraping the stack every second."""
    config = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"] = [{"job_name": "psephos-web", "static_configs": [{"targets": [target]}]}]
    for name in config["rule_files"]:
        shutil.copy(ROOT / "deploy" / "prometheus" / name, folder / name)
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    command = ["prometheus", f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}"]
    process = launch("prometheus", [*command, f"--web.listen-address=127.0.0.1:{port}"], log=folder / "log")
    return process, f"http://127.0.0.1:{port}"


def panels():
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{file.stem}: {panel['title']}", target["expr"]


@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed (Debian: prometheus)")
def test_every_panel_s_query_has_an_answer(stack, tmp_path):
    process, url = run_prometheus(tmp_path, stack.url.removeprefix("http://"))
    headers = {"X-Request-ID": "panels-0001"}
    address = stack.url.replace("http", "ws") + "/ws/elections"

    def unanswered():
        requests.get(f"{stack.url}/elections", headers=headers, timeout=5)
        requests.get(f"{stack.url}/elections/{stack.elections()[0]['id']}", timeout=5)
        missing = []
        for title, expression in panels():
            answer = requests.get(f"{url}/api/v1/query", params={"query": expression}, timeout=10).json()
            if answer["status"] != "success" or not answer["data"]["result"]:
                missing.append(f"{title}: {expression}")
        return missing

    try:
        wait_for(lambda: requests.get(f"{url}/-/ready", timeout=2).ok, what="prometheus")
        with websockets.sync.client.connect(address):
            last = []
            wait_for(lambda: not last.__setitem__(slice(None), unanswered()) and not last, seconds=90, what="panels")
    except AssertionError:
        raise AssertionError("no answer to:\n" + "\n".join(last)) from None
    finally:
        process.terminate()
        process.wait(20)


def test_the_metrics_are_those_that_rules_and_panels_name(stack):
    """`or vector(0)` answers for a misspelt name too: each name must be one that the code declares."""
    text = requests.get(f"{stack.url}/metrics", timeout=10).text
    shown = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    # Those without a value yet are declared by the modules that count them.
    for module in ("accounts.sockets", "zk.metrics", "jobs.services.running", "chain.metrics", "apikeys.services"):
        importlib.import_module(module)
    declared = shown | set(REGISTRY._names_to_collectors)
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text())["groups"]
    recorded = {rule["record"]: rule["expr"] for group in rules for rule in group["rules"]}
    alerts = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())["groups"]
    expressions = [expression for _, expression in panels()] + list(recorded.values())
    expressions += [rule["expr"] for group in alerts for rule in group["rules"]]
    for expression in expressions:
        for name in re.findall(r"\b(?:psephos|django)_\w+", expression):
            family = re.sub(r"_(bucket|count|sum)$", "", name)
            assert family in declared or name in declared or name.removesuffix("_total") in declared, name
        for name in re.findall(r"\bpsephos:[\w:]+", expression):
            assert name in recorded, name


def manage(stack, *arguments):
    """Run a management command as an operator beside the stack."""
    text = (stack.folder / "run" / "environment.json").read_text()
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=plain_environment() | json.loads(text),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def test_healthcheck_passes(stack):
    done = manage(stack, "healthcheck", "--json", "--wait", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    parts = {part["name"]: part for part in json.loads(done.stdout)["parts"]}
    assert set(parts) >= {"postgresql", "redis", "broker", "node", "migrations", "workers", "chain"}
    assert all(part["status"] == "up" and part["milliseconds"] >= 0 for part in parts.values())


def test_the_sequencer_alone_has_its_role(stack):
    url = json.loads((stack.folder / "run" / "environment.json").read_text())["DATABASE_URL"]
    query = "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name {} 'psephos-sequencer'"
    query += " AND datname = 'psephos' AND usename IS NOT NULL"
    with psycopg.connect(url, autocommit=True) as app:
        assert app.execute(query.format("=")).fetchall() == [("psephos_sequencer",)]
        assert app.execute(query.format("<>")).fetchall() == [("psephos_app",)]
        wait_for(lambda: app.execute("SELECT count(*) FROM audit_checkpoint").fetchone()[0], what="a checkpoint")


def turnout(stack):
    return sum(election["turnout"] for election in stack.elections())


def goes_on(stack):
    """Wait until further votes arrive on the chain, in the database and over REST, and all is ready."""
    wait_for(lambda: requests.get(f"{stack.url}/readyz", timeout=30).json()["status"] == "ok", what="readiness")
    before = wait_for(lambda: turnout(stack), what="the elections")
    wait_for(lambda: turnout(stack) > before + 2, what="further votes")


def process_of(stack, *words):
    [found] = stack.running(*words)
    return found


def test_postgresql_restarts_and_everything_goes_on(stack):
    postgres = services.start_postgres(stack.folder / "run" / "postgres")  # finds the running one
    postgres.stop()
    answer = requests.get(f"{stack.url}/elections/31337-00000000-1", timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
    assert answer.headers["Retry-After"] == "5"
    services.start_postgres(stack.folder / "run" / "postgres")
    goes_on(stack)


def test_redis_is_flushed_and_everything_goes_on(stack):
    environment = json.loads((stack.folder / "run" / "environment.json").read_text())
    with redis.Redis.from_url(environment["REDIS_URL"]) as client:
        client.flushall()
    goes_on(stack)


def test_the_node_falls_away_and_the_index_catches_up(stack):
    node = process_of(stack, "anvil", "--chain-id")
    node.suspend()
    try:
        wait_for(
            lambda: requests.get(f"{stack.url}/readyz", timeout=10).json()["status"] == "degraded", what="readiness"
        )
        assert requests.get(f"{stack.url}/readyz", timeout=10).status_code == 200
        assert stack.elections(), "we serve what we have"
    finally:
        node.resume()
    goes_on(stack)


def test_the_broker_falls_away_and_everything_goes_on(stack):
    broker = process_of(stack, "redis-server")
    broker.suspend()
    try:
        assert requests.get(f"{stack.url}/healthz", timeout=30).status_code == 200
        answer = requests.get(f"{stack.url}/readyz", timeout=30)
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
    finally:
        broker.resume()
    goes_on(stack)


def test_a_second_start_in_the_same_folder_is_refused(stack):
    again = subprocess.run(
        [sys.executable, "-m", "deploy.local.run"], cwd=ROOT, env=stack.environment, capture_output=True, text=True
    )
    assert again.returncode == 1
    assert "is running in this folder already" in again.stdout


def test_a_taken_port_gets_a_clear_message(stack, tmp_path):
    other = LocalRun(tmp_path / "local")
    other.port = stack.port
    refused = subprocess.run(
        [sys.executable, "-m", "deploy.local.run"], cwd=ROOT, env=other.environment, capture_output=True, text=True
    )
    assert refused.returncode == 1
    assert f"Port {stack.port} (web) is taken" in refused.stdout
    assert f"make run PORT={stack.port + 100}" in refused.stdout
    assert "Traceback" not in refused.stdout + refused.stderr


def test_the_password_is_shown_once(stack):
    assert re.search(r"Administrator +admin@psephos.example\n +Password +\S{20}", stack.said())


def test_ctrl_c_ends_everything_in_time(stack):
    ids = {election["id"] for election in stack.elections()}
    seconds = stack.interrupt()
    assert seconds <= 10  # 5 on a machine that does nothing else
    assert stack.processes() == []
    (stack.folder / "ids.json").write_text(json.dumps(sorted(ids)))


def test_a_second_start_keeps_the_data(stack):
    stack.start()
    stack.wait_ready()
    assert "Password" not in stack.said()
    before = set(json.loads((stack.folder / "ids.json").read_text()))
    wait_for(lambda: before <= {election["id"] for election in stack.elections()}, what="the elections of before")


def test_a_part_that_dies_is_started_again(stack):
    process_of(stack, "index_chain").kill()
    wait_for(lambda: "indexer ended with status" in stack.said(), what="the supervisor to notice")
    wait_for(lambda: stack.running("index_chain"), what="a new indexer")


def test_a_killed_start_recovers(stack):
    before = {election["id"] for election in stack.elections()}
    stack.process.kill()
    stack.process.wait()
    assert stack.processes(), "a killed supervisor cannot end its processes"
    stack.start()
    stack.wait_ready()
    assert "that an earlier, killed start left behind" in stack.said()
    wait_for(lambda: before <= {election["id"] for election in stack.elections()}, what="the elections of before")


def test_sigterm_and_reset_leave_nothing(stack):
    stack.process.send_signal(signal.SIGTERM)
    assert stack.process.wait(60) == 0
    assert stack.processes() == []
    done = subprocess.run(
        [sys.executable, "-m", "deploy.local.reset"], cwd=ROOT, env=stack.environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not (stack.folder / "run").exists()
