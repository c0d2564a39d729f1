"""A witness leaves no trace: not in the database, Redis, the broker, logs, results or process lists."""

import contextlib
import json
import threading
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.cache import cache
from django.db import connection
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts.tests.factories import UserFactory, bearer
from jobs.models import Job, JobStatus
from jobs.tests.worker import celery_worker, eventually
from zk.tests.inputs import eligibility_input, voice_input

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]


def traces_of(value: str) -> list[bytes]:
    """A number as it might be written: decimal, hexadecimal, raw bytes of either order."""
    number = int(value)
    raw = number.to_bytes(32, "big")
    return [value.encode(), f"{number:x}".encode(), raw, raw[::-1]]


class Monitor(threading.Thread):
    """Everything that Redis is told while it runs: cache, broker and channel layer are all there."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.lines: list[str] = []
        self.ready = threading.Event()
        self.client = Redis.from_url(django_settings.REDIS_URL, socket_timeout=None)

    def run(self) -> None:
        # The session's Redis ends before the process does.
        with contextlib.suppress(RedisConnectionError), self.client.monitor() as monitor:
            self.ready.set()
            for command in monitor.listen():
                self.lines.append(command["command"])


def database_text() -> bytes:
    """Every row of every table, as text."""
    parts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT string_agg(t::text, chr(10)) FROM "{table}" t')
            parts.append(cursor.fetchone()[0] or "")
    return "\n".join(parts).encode()


def redis_text() -> bytes:
    client = Redis.from_url(django_settings.REDIS_URL)
    return b"\n".join(key + b" " + (client.dump(key) or b"") for key in client.scan_iter())


def ask(client, circuit: str, value: dict, headers) -> Job:
    answer = client.post(f"/api/zk/{circuit}", json.dumps(value), "application/json", headers=headers)
    assert answer.status_code == 202, answer.content
    return Job.objects.get(pk=answer.json()["job"])


def has_ended(job: Job) -> bool:
    job.refresh_from_db()
    return job.is_finished


def test_no_trace_of_a_witness(client, service_folder: Path, capfd, caplog):
    headers = bearer(UserFactory())
    member, ballot = eligibility_input(seed=31), voice_input(seed=32)
    late = voice_input(seed=33)
    secrets = [trace for value in (member["secret"], ballot["salt"], late["salt"]) for trace in traces_of(value)]
    votes = json.dumps(ballot["votes"]).encode(), json.dumps(ballot["votes"], separators=(",", ":")).encode()
    monitor = Monitor()
    monitor.start()
    assert monitor.ready.wait(30)
    logs = []

    queued = [ask(client, "eligibility", member, headers), ask(client, "voice", ballot, headers)]
    waiting = database_text() + redis_text()
    with celery_worker(service_folder, queues="proofs", include="", name="prover") as worker:
        logs.append(Path(worker.url))
        for job in queued:
            eventually(lambda job=job: has_ended(job), "the proof is made")
            assert job.status == JobStatus.SUCCEEDED, job.problem
    # A prover that is too late in both attempts: errors and their reports.
    with celery_worker(
        service_folder, queues="proofs", include="", name="late", env={"ZK_PROOF_TIMEOUT_SECONDS": "0"}
    ) as worker:
        logs.append(Path(worker.url))
        failed = ask(client, "voice", late, headers)
        eventually(lambda: has_ended(failed), "the job has failed")
        assert failed.problem["code"] == "prover_timed_out"

    for job in queued:
        assert client.get(f"/api/zk/{job_circuit(job)}/{job.pk}", headers=headers).json()["proof"]
    captured = capfd.readouterr()
    seen = {
        "what waits": waiting,
        "the database": database_text(),
        "Redis": redis_text(),
        "what Redis was told": "\n".join(monitor.lines).encode("latin-1", "replace"),
        "the workers' logs": b"".join(log.read_bytes() for log in logs),
        "our logs": (caplog.text + captured.out + captured.err).encode(),
    }
    for place, text in seen.items():
        assert text or place == "our logs", place
        for trace in (*secrets, *votes):
            assert trace not in text, place
    # The monitor did see the sealed inputs and the broker's messages.
    assert any("jobs:input:" in line for line in monitor.lines)
    assert any("jobs.run" in line for line in monitor.lines)
    # And they are wiped.
    assert not cache.keys("jobs:input:*")


def job_circuit(job: Job) -> str:
    from jobs.selectors import get_result

    return get_result(job=job)[0]["circuit"]
