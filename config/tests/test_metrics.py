import re
import subprocess
import sys
import uuid

import pytest
import requests
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from audit.services import record
from config.tests.settings_reader import ROOT
from deploy.local.services import free_port
from jobs.models import Job

pytestmark = pytest.mark.django_db


def samples(text):
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(client, **headers):
    response = client.get("/metrics", headers=headers)
    assert response.status_code == 200
    return samples(response.content.decode())


def test_metrics_need_the_token_where_one_is_set(client, settings):
    settings.METRICS_TOKEN = "scraper"
    refused = client.get("/metrics")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert refused["WWW-Authenticate"] == "Bearer"
    assert client.get("/metrics", headers={"Authorization": "Bearer other"}).status_code == 401
    assert client.get("/metrics", headers={"Authorization": "Bearer scraper"}).status_code == 200


def test_every_part_can_be_read(client):
    found = {labels[0][1]: value for (name, labels), value in scrape(client).items() if name == "psephos_scrape_failed"}
    assert found == dict.fromkeys(["indexer", "queues", "broker", "audit_log", "notifications", "elections"], 0)


def test_waiting_jobs_are_counted_by_queue_with_the_age_of_the_oldest(client):
    for minutes in (3, 10):
        job = Job.objects.create(type="jobs.self_test", input={}, input_digest="0" * 64, queue="proofs")
        Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timezone.timedelta(minutes=minutes))
    found = scrape(client)
    assert found["psephos_queue_jobs_waiting", (("queue", "proofs"),)] == 2
    assert 595 < found["psephos_queue_oldest_seconds", (("queue", "proofs"),)] < 700
    assert found["psephos_queue_jobs_waiting", (("queue", "default"),)] == 0
    assert found["psephos_scrape_failed", (("part", "queues"),)] == 0


def test_the_audit_log_s_backlog_is_counted(client):
    record(action="test.metrics", target="x:1")
    assert scrape(client)["psephos_audit_entries_unsequenced", ()] >= 1


def test_requests_are_counted_by_route_never_by_address(client):
    for _ in range(3):
        client.get(f"/elections/{uuid.uuid4()}")
        client.get(f"/nowhere/{uuid.uuid4()}")
    text = client.get("/metrics").content.decode()
    views = set(re.findall(r'view="([^"]*)"', text))
    assert not any(re.search(r"[0-9a-f]{8}-[0-9a-f]{4}", view) for view in views)
    assert len(views) < 200


def test_an_invented_method_makes_no_label(client):
    client.generic("BREW", "/elections")
    client.generic("BREW", "/nowhere")
    assert "BREW" not in client.get("/metrics").content.decode()


def test_label_sets_are_bounded(client):
    """Labels name kinds of things (a route, a queue, a chain), never people, elections or addresses."""
    allowed = {
        "view", "method", "status", "le", "queue", "chain", "part", "task", "outcome", "consumer", "type", "state",
        "route_class", "decision", "node", "event", "kind", "check", "what", "circuit", "result", "alias", "vendor",
        "backend", "transport", "charset", "exception", "templatename", "generation", "implementation", "major",
        "minor", "patchlevel", "version", "channel", "name", "reason", "quantile", "model", "app", "content_type",
        "phase", "pool", "template", "provider", "source", "stage", "operation", "cache", "hit",
    }  # fmt: skip
    client.get("/healthz")
    labels = {label for _, pairs in scrape(client) for label, _ in pairs}
    assert labels <= allowed, labels - allowed


def test_a_part_that_cannot_be_read_is_named_and_the_rest_is_shown(client, settings, monkeypatch):
    from config import metrics

    def broken():
        raise ConnectionError

    monkeypatch.setattr(metrics, "broker_messages", broken)
    found = scrape(client)
    assert found["psephos_scrape_failed", (("part", "broker"),)] == 1
    assert ("psephos_queue_messages", (("queue", "default"),)) not in found
    assert found["psephos_scrape_failed", (("part", "queues"),)] == 0


def test_messages_at_the_broker_are_counted(client):
    from config.celery import app

    app.send_task("jobs.run", args=[str(uuid.uuid4())], queue="notifications")
    assert scrape(client)["psephos_queue_messages", (("queue", "notifications"),)] == 1


WRITER = """
import sys
from prometheus_client import Counter
Counter("psephos_test_total", "Test").inc(int(sys.argv[1]))
"""


@pytest.mark.slow
def test_several_processes_add_up(tmp_path):
    environment = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PATH": ""}
    for amount in (3, 4):
        subprocess.run([sys.executable, "-c", WRITER, str(amount)], env=environment, check=True)
    reader = "from config.metrics import registry; from prometheus_client import generate_latest as g;"
    read = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup(); {reader} print(g(registry()).decode())"],
        env=environment | {"DJANGO_SETTINGS_MODULE": "config.settings.local"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert samples(read.stdout)["psephos_test_total", ()] == 7


def test_a_process_without_http_shows_its_metrics_on_a_port():
    from config.metrics import serve_on_port

    port = free_port()
    serve_on_port(port)
    serve_on_port(port)  # taken: a log line, no exception
    assert "python_info" in requests.get(f"http://127.0.0.1:{port}/metrics", timeout=5).text


def test_tasks_are_timed_and_counted(client):
    from config.celery import app

    app.tasks["jobs.recover"].apply()
    found = scrape(client)
    assert found["psephos_tasks_total", (("outcome", "success"), ("task", "jobs.recover"))] >= 1
    assert found["psephos_task_seconds_count", (("task", "jobs.recover"),)] >= 1
