"""`/metrics`: what the processes counted, and the state of the database and the broker at the time of asking."""

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.db import connections
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django_prometheus.middleware import PrometheusAfterMiddleware
from kombu.exceptions import OperationalError
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    start_http_server,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from audit.selectors import get_log_state
from chain.models import Checkpoint, DeadLetter
from config.celery import app as celery_app
from config.problems import problem_response
from elections.models import Election
from jobs.models import Job, JobStatus
from notifications.models import Notification, Stage

logger = logging.getLogger(__name__)

POOL = {
    name: Gauge(f"psephos_db_pool_{name}", text, multiprocess_mode="livesum")
    for name, text in (
        ("size", "Connections of the pools to PostgreSQL"),
        ("available", "Connections that nobody uses"),
        ("requests_waiting", "Requests that wait for a connection"),
    )
}
TASK_SECONDS = Histogram(
    "psephos_task_seconds",
    "Duration of Celery tasks",
    ["task"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, float("inf")),
)
TASKS = Counter("psephos_tasks_total", "Celery tasks by outcome", ["task", "outcome"])


def registry() -> CollectorRegistry:
    """Build the registry of one answer: all processes' values where they share a folder, else this one's."""
    if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        return REGISTRY
    whole = CollectorRegistry()
    MultiProcessCollector(whole)
    return whole


def metrics(request: HttpRequest) -> HttpResponse:
    """Show Prometheus everything; with METRICS_TOKEN set, only to who has it."""
    if settings.METRICS_TOKEN:
        offered = request.headers.get("Authorization", "")
        if not secrets.compare_digest(offered.encode(), f"Bearer {settings.METRICS_TOKEN}".encode()):
            response = problem_response(status=401, code="unauthenticated", detail="Metrics need the scraper's token.")
            response["WWW-Authenticate"] = "Bearer"
            return response
    state = CollectorRegistry()
    state.register(StateCollector())
    return HttpResponse(generate_latest(registry()) + generate_latest(state), content_type=CONTENT_TYPE_LATEST)


def serve_on_port(port: int) -> None:
    """Show this process's metrics on a port of its own; a port that is taken is no reason to stop the process."""
    try:
        start_http_server(port, registry=registry())
    except OSError as error:
        logger.warning("metrics are not served on port %s: %s", port, error)


class RequestCounter(PrometheusAfterMiddleware):
    """django-prometheus' own, but that an invented HTTP method makes no new label."""

    def label_metric(self, metric: Any, request: HttpRequest, response: Any = None, **labels: Any) -> Any:
        if "method" in labels:
            labels["method"] = self._method(request)
        return super().label_metric(metric, request, response, **labels)


class PoolSampler:
    """Middleware that writes down how this process's database pool is used, at most once a second."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.sampled_at = 0.0

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if time.monotonic() - self.sampled_at >= 1:
            self.sampled_at = time.monotonic()
            sample_pool()
        return response


def sample_pool() -> None:
    pool = getattr(connections["default"], "pool", None)
    if pool is not None:
        stats = pool.get_stats()
        for name, gauge in POOL.items():
            gauge.set(stats.get(f"pool_{name}", stats.get(name, 0)))


class StateCollector(Collector):
    """Reads the state that the database and the broker hold. A part that cannot be read leaves out its metrics."""

    def collect(self) -> Iterator[Metric]:
        failed = GaugeMetricFamily("psephos_scrape_failed", "1 where a part could not be read", labels=["part"])
        for part in (indexer, queues, broker, audit_log, notifications, elections):
            try:
                yield from part()
            except Exception as error:
                logger.warning("metrics of %s could not be read: %s", part.__name__, type(error).__name__)
                failed.add_metric([part.__name__], 1)
            else:
                failed.add_metric([part.__name__], 0)
        yield failed


def gauge(name: str, text: str, labels: tuple[str, ...] = ()) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"psephos_{name}", text, labels=labels)


def indexer() -> Iterator[Metric]:
    by_chain = ("chain",)
    block = gauge("indexer_block", "Newest indexed block", by_chain)
    head = gauge("indexer_node_head_block", "Newest block of the node", by_chain)
    lag = gauge("indexer_lag_blocks", "Blocks between the node's head and the indexed block", by_chain)
    age = gauge("indexer_idle_seconds", "Time since the indexer last wrote its position", by_chain)
    halted = gauge("indexer_halted", "1 while the indexer waits for a review", by_chain)
    dead = gauge("indexer_dead_letters", "Logs that did not decode and wait for a replay", by_chain)
    waiting = DeadLetter.objects.filter(replayed_at=None, retracted_at=None)
    dead_by_chain = dict(waiting.values_list("contract__chain_id").annotate(Count("id")))
    for checkpoint in Checkpoint.objects.all():
        chain = [str(checkpoint.pk)]
        block.add_metric(chain, checkpoint.block_number)
        head.add_metric(chain, checkpoint.node_head)
        lag.add_metric(chain, max(0, checkpoint.node_head - checkpoint.block_number))
        age.add_metric(chain, (timezone.now() - checkpoint.updated_at).total_seconds())
        halted.add_metric(chain, checkpoint.halted_at is not None)
        dead.add_metric(chain, dead_by_chain.get(checkpoint.pk, 0))
    return iter([block, head, lag, age, halted, dead])


def queues() -> Iterator[Metric]:
    waiting = gauge("queue_jobs_waiting", "Jobs that wait for a worker", ("queue",))
    oldest = gauge("queue_oldest_seconds", "How long the oldest of them waits", ("queue",))
    running = gauge("queue_jobs_running", "Jobs that a worker holds", ("queue",))
    queued = Job.objects.filter(status=JobStatus.QUEUED).values_list("queue").annotate(Count("id"), Min("created_at"))
    by_queue = {queue: (count, since) for queue, count, since in queued}
    held = dict(Job.objects.filter(status=JobStatus.RUNNING).values_list("queue").annotate(Count("id")))
    now = timezone.now()
    for queue in settings.QUEUES:
        count, since = by_queue.get(queue, (0, now))
        waiting.add_metric([queue], count)
        oldest.add_metric([queue], max(0.0, (now - since).total_seconds()))
        running.add_metric([queue], held.get(queue, 0))
    return iter([waiting, oldest, running])


def broker() -> Iterator[Metric]:
    messages = gauge("queue_messages", "Messages that the broker holds and no worker has taken", ("queue",))
    for queue, count in broker_messages().items():
        messages.add_metric([queue], count)
    return iter([messages])


def broker_messages() -> dict[str, int]:
    """Ask the broker how many messages wait in each queue; a queue that nobody made yet has none."""
    counts = {}
    with celery_app.connection_for_read(connect_timeout=2) as connection:
        connection.ensure_connection(max_retries=1, timeout=2)
        for queue in settings.QUEUES:
            # AMQP closes the channel over a queue that it does not know, hence one each.
            with connection.channel() as channel:
                try:
                    declared = channel.queue_declare(queue=queue, passive=True)  # type: ignore[attr-defined]
                    counts[queue] = int(declared.message_count)
                except (*connection.channel_errors, OperationalError):  # type: ignore[misc]
                    counts[queue] = 0
    return counts


def audit_log() -> Iterator[Metric]:
    state = get_log_state()
    oldest = state["oldest_unsequenced_at"]
    values = {
        ("entries_sequenced", "Entries in the log's tree"): state["size"],
        ("entries_unsequenced", "Committed entries that the sequencer has not numbered"): state["unsequenced"],
        ("oldest_unsequenced_seconds", "How long the oldest of them waits"): (
            (timezone.now() - oldest).total_seconds() if oldest else 0
        ),
        ("is_tampered", "1 when the last verification found a fault"): state["verification"] == "tampered",
    }
    for (name, text), value in values.items():
        yield GaugeMetricFamily(f"psephos_audit_{name}", text, value=value)


def notifications() -> Iterator[Metric]:
    states = gauge("notifications", "Notifications by state", ("state",))
    counts = dict(Notification.objects.values_list("status").annotate(Count("id")).order_by())
    for state in Stage.values:
        states.add_metric([state], counts.get(state, 0))
    return iter([states])


def elections() -> Iterator[Metric]:
    statuses = gauge("elections", "Elections by status", ("status",))
    counts = dict(Election.objects.values_list("status").annotate(Count("pk")))
    for status, count in sorted(counts.items()):
        statuses.add_metric([status], count)
    return iter([statuses])
