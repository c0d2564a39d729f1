"""Figures for GET /admin/metrics and the dashboard: requests, queues, workers, the indexer."""

import json
import os
import time
from itertools import pairwise
from typing import Any

import redis
from celery import current_app
from django.conf import settings
from django.core.cache import cache
from django.utils import timezone

from chain.models import Checkpoint
from config.metrics import broker_messages, registry
from jobs.selectors import count_unfinished

LATENCY = "django_http_requests_latency_including_middlewares_seconds"
BY_STATUS = "django_http_responses_total_by_status"
WINDOW_SECONDS = 60
SAMPLE_SECONDS = 5
KEPT_SAMPLES = 720
WORKERS_SECONDS = 10


def read_totals() -> dict[str, Any]:
    """Sum what all processes have counted: finished requests by latency bucket, answers with status 5xx.

    Over several processes only where PROMETHEUS_MULTIPROC_DIR is set; otherwise this process's own.
    """
    buckets: dict[str, float] = {}
    answers = errors = 0.0
    for metric in registry().collect():
        if metric.name == LATENCY:
            for sample in metric.samples:
                if sample.name.endswith("_bucket"):
                    bound = sample.labels["le"]
                    buckets[bound] = buckets.get(bound, 0) + sample.value
        elif metric.name == BY_STATUS:
            for sample in metric.samples:
                if sample.name.endswith("_total"):
                    answers += sample.value
                    errors += sample.value if sample.labels.get("status", "").startswith("5") else 0
    return {"at": time.time(), "buckets": buckets, "answers": answers, "errors": errors}


def samples_key() -> str:
    scope = "all" if os.environ.get("PROMETHEUS_MULTIPROC_DIR") else f"{os.uname().nodename}:{os.getpid()}"
    return f"psephos:admin-metrics:requests:{scope}"


def take_sample() -> list[dict[str, Any]]:
    """Store what is counted so far, at most once in five seconds, and return the samples of the last hour."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        key = samples_key()
        newest = client.lindex(key, 0)
        if newest is None or time.time() - json.loads(newest)["at"] >= SAMPLE_SECONDS:
            with client.pipeline() as pipeline:
                pipeline.lpush(key, json.dumps(read_totals()))
                pipeline.ltrim(key, 0, KEPT_SAMPLES - 1)
                pipeline.expire(key, 3600)
                pipeline.execute()
        return [json.loads(sample) for sample in client.lrange(key, 0, -1)]


def quantile(buckets: dict[str, float], share: float) -> float | None:
    """Estimate a latency in milliseconds from cumulative buckets, interpolating as Prometheus does."""
    ordered = sorted((float(bound), count) for bound, count in buckets.items())
    if not ordered or ordered[-1][1] <= 0:
        return None
    rank = share * ordered[-1][1]
    below, below_count = 0.0, 0.0
    for bound, count in ordered:
        if count >= rank:
            if bound == float("inf"):
                return below * 1000
            inside = (rank - below_count) / (count - below_count) if count > below_count else 1.0
            return (below + (bound - below) * inside) * 1000
        below, below_count = bound, count
    return None


def requests() -> dict[str, Any]:
    """Rate, latency and share of errors over the last minute."""
    samples = take_sample()
    now = {**read_totals()}
    older = [sample for sample in samples if now["at"] - sample["at"] >= SAMPLE_SECONDS]
    within = [sample for sample in older if now["at"] - sample["at"] <= WINDOW_SECONDS]
    before = within[-1] if within else (older[0] if older else None)
    figures: dict[str, Any] = {"since_start": int(now["answers"]), "errors_since_start": int(now["errors"])}
    if before is None or now["answers"] < before["answers"]:
        # The first look, or the counters began anew: there is nothing to compare with yet.
        return {**figures, "per_second": None, "error_ratio": None, "p50_ms": None, "p95_ms": None, "p99_ms": None}
    seconds, answers = now["at"] - before["at"], now["answers"] - before["answers"]
    errors = now["errors"] - before["errors"]
    buckets = {bound: count - before["buckets"].get(bound, 0) for bound, count in now["buckets"].items()}
    latencies = {f"p{share}_ms": quantile(buckets, share / 100) for share in (50, 95, 99)}
    return {
        **figures,
        "per_second": round(answers / seconds, 2),
        "error_ratio": round(errors / answers, 4) if answers else 0.0,
        **{name: None if value is None else round(value, 1) for name, value in latencies.items()},
    }


def request_rates() -> list[tuple[float, float]]:
    """List (time, requests per second) between the samples of the last hour, oldest first."""
    samples = take_sample()[::-1]
    return [
        (later["at"], (later["answers"] - earlier["answers"]) / (later["at"] - earlier["at"]))
        for earlier, later in pairwise(samples)
        if later["at"] > earlier["at"] and later["answers"] >= earlier["answers"]
    ]


def queues() -> dict[str, Any]:
    """Messages that wait at the broker, and jobs that wait or run, by queue."""
    waiting = broker_messages()
    return {"waiting": waiting, "waiting_total": sum(waiting.values()), "jobs": count_unfinished()}


def workers() -> dict[str, Any]:
    """Workers that answer within half a second; asked at most every ten seconds."""
    known: dict[str, Any] | None = cache.get("admin-metrics:workers")
    if known is None:
        answers = current_app.control.ping(timeout=0.5)
        names = sorted(name for answer in answers or [] for name in answer)
        known = {"online": len(names), "names": names}
        cache.set("admin-metrics:workers", known, WORKERS_SECONDS)
    return known


def indexer() -> dict[str, Any]:
    """How far the indexer is behind each chain's node."""
    chains = {}
    for checkpoint in Checkpoint.objects.order_by("pk"):
        chains[str(checkpoint.pk)] = {
            "indexed_block": checkpoint.block_number,
            "head_block": checkpoint.node_head,
            "lag_blocks": max(0, checkpoint.node_head - checkpoint.block_number),
            "idle_seconds": round((timezone.now() - checkpoint.updated_at).total_seconds(), 1),
            "is_halted": checkpoint.halted_at is not None,
        }
    return {"chains": chains}
