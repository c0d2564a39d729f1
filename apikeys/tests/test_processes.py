"""The limit over several processes, and over a restart of Redis."""

import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import kombu.pools
import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper

from apikeys.exceptions import ApiKeyRefused
from apikeys.models import ApiKeyUsage
from apikeys.services import (
    authenticate_key,
    count_request,
    forget_keys,
    keep_running,
    revoke_api_key,
    take,
)
from apikeys.services.bucket import Bucket, Limit, bucket
from apikeys.services.usage import forget_usage
from apikeys.tests.factories import make_key
from deploy.local.services import start_redis

# Sixty in an hour: no token comes back meanwhile, however slow the machine is.
LIMIT = Limit(60, 3600, 60)


def fork_context() -> Any:
    """Return multiprocessing's fork, without the broker connections that an earlier test left.

    A child would close them, and wait half a minute for an answer that goes to its parent.
    """
    for pool in kombu.pools.connections.values():
        pool.resize(pool.limit, force=True, ignore_errors=True, reset=True)
    return multiprocessing.get_context("fork")


def count_allowed(url: str, go: Any, results: Any) -> None:
    bucket = Bucket(url, 60)
    go.wait()
    with ThreadPoolExecutor(4) as pool:
        decisions = list(pool.map(lambda _: bucket.take("ip:192.0.2.1", LIMIT, 1, "write"), range(1000)))
    assert all(decision.is_available for decision in decisions)
    results.put(sum(decision.is_allowed for decision in decisions))


@pytest.mark.slow
def test_eight_processes_with_a_thousand_requests_each_get_exactly_sixty():
    context = fork_context()
    go, results = context.Event(), context.Queue()
    workers = [context.Process(target=count_allowed, args=(django_settings.REDIS_URL, go, results)) for _ in range(8)]
    for worker in workers:
        worker.start()
    go.set()
    allowed = [results.get(timeout=150) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(allowed) == 60


@pytest.mark.slow
def test_redis_restarts_in_the_middle(settings, service_folder):
    settings.RATE_LIMIT = "100000/60"
    service = start_redis(service_folder / "restarting")
    port = urlsplit(service.url).port
    settings.REDIS_URL = service.url
    bucket.cache_clear()
    try:
        assert take(identity="ip:192.0.2.1", route_class="write").is_available
        service.stop()
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: take(identity="ip:192.0.2.1", route_class="write"), range(40)))
            reads = list(pool.map(lambda _: take(identity="ip:192.0.2.1", route_class="read"), range(40)))
        assert not any(answer.is_available for answer in answers)
        assert all(read.is_allowed for read in reads)
        service = start_redis(service_folder / "restarting", port=port)
        deadline = time.monotonic() + 30
        while not take(identity="ip:192.0.2.1", route_class="write").is_available:
            assert time.monotonic() < deadline, "no recovery by itself"
            time.sleep(0.1)
        assert take(identity="ip:192.0.2.1", route_class="write").is_allowed  # the script was loaded again
    finally:
        service.stop()
        bucket.cache_clear()


def answer_questions(text: str, questions: Any, answers: Any) -> None:
    """Be a server's process that has the key in memory: prove it each time when asked."""
    # The parent's connections and pool stay the parent's: a new thread of this child makes its own.
    DatabaseWrapper._connection_pools = {}

    def run() -> None:
        forget_keys()
        while questions.get():
            try:
                authenticate_key(text)
                answers.put("open")
            except ApiKeyRefused as error:
                answers.put(error.default_code)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    answers.close()
    answers.join_thread()
    os._exit(0)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_revoked_key_is_refused_within_a_second_by_every_process():
    key, text = make_key()
    context = fork_context()
    channels = [(context.Queue(), context.Queue()) for _ in range(3)]
    servers = [context.Process(target=answer_questions, args=(text, *channel)) for channel in channels]
    for server in servers:
        server.start()

    def ask():
        for questions, _ in channels:
            questions.put(True)
        return [answers.get(timeout=60) for _, answers in channels]

    try:
        assert ask() == ["open"] * 3
        revoke_api_key(key_id=key.pk, actor="system:test")
        time.sleep(1)
        assert ask() == ["api_key_revoked"] * 3
    finally:
        for questions, _ in channels:
            questions.put(False)
        for server in servers:
            server.join()


def serve_one_request(key_id: Any) -> None:
    """Be a server's worker that ends right after a request; the parent's connection stays the parent's."""
    DatabaseWrapper._connection_pools = {}
    connection.connection = None
    django_settings.API_KEY_USAGE_FLUSH_SECONDS = 1000
    forget_usage()
    keep_running()
    count_request(key_id=key_id, route="GET /x", status=200)


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_ends_writes_its_last_counts():
    key, _ = make_key()
    worker = fork_context().Process(target=serve_one_request, args=(key.pk,))
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    assert ApiKeyUsage.objects.get().requests == 1
