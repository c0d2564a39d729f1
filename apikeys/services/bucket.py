"""The token bucket: one Lua script on Redis's clock, and the same in memory for when Redis is away."""

import logging
import os
import re
import threading
import time
from collections import OrderedDict, deque
from functools import lru_cache
from math import ceil
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from prometheus_client import Counter, Gauge
from redis.exceptions import RedisError

from apikeys.exceptions import LimiterUnavailable, RateLimited
from apikeys.services.script import ScriptRunner, packed_arguments

logger = logging.getLogger(__name__)

DECISIONS = Counter("psephos_rate_limit_decisions", "Requests let through or refused", ["route_class", "decision"])
REDIS_ERRORS = Counter("psephos_rate_limit_redis_errors", "Takes that Redis did not answer")
REDIS_UP = Gauge("psephos_rate_limit_redis_up", "1 while Redis counts the requests", multiprocess_mode="min")

LIMIT_FORM = re.compile(r"(\d{1,9})/(\d{1,6})(?::(\d{1,9}))?")
# While Redis does not answer, one request a second tries it and the others do not wait for it.
RETRY_SECONDS = 1.0


class Limit(NamedTuple):
    """So many tokens in any window of so many seconds, at most `burst` of them at once."""

    tokens: int
    period_seconds: int
    burst: int

    @classmethod
    def parse(cls, text: str, *, name: str = "RATE_LIMIT") -> "Limit":
        """Read `60/60` or `60/60:10`; raise ImproperlyConfigured naming the entry."""
        found = LIMIT_FORM.fullmatch(text.strip())
        tokens, period, burst = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
        burst = burst or tokens
        if not (found and tokens and period and burst <= tokens):
            raise ImproperlyConfigured(f"{name}: {text!r} is not REQUESTS/SECONDS or REQUESTS/SECONDS:BURST")
        return cls(tokens, period, burst)


@lru_cache(maxsize=1024)
def policy_of(limit: Limit) -> str:
    burst = f";burst={limit.burst}" if limit.burst < limit.tokens else ""
    return f'"default";q={limit.tokens};w={limit.period_seconds}{burst}'


class Decision(NamedTuple):
    """What the bucket said."""

    is_allowed: bool
    limit: Limit
    remaining: int
    retry_after_seconds: int
    reset_seconds: int
    is_available: bool = True
    # False: counted in this process's memory only.
    is_shared: bool = True

    def headers(self) -> dict[str, str]:
        """Say it as `RateLimit` and `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers-10)."""
        headers = {
            "RateLimit-Policy": policy_of(self.limit),
            "RateLimit": f'"default";r={self.remaining};t={self.reset_seconds}',
        }
        if not self.is_allowed:
            headers["Retry-After"] = str(self.retry_after_seconds)
        return headers

    def raise_refusal(self) -> None:
        """Raise RateLimited or LimiterUnavailable unless allowed."""
        if not self.is_available:
            raise LimiterUnavailable(self.retry_after_seconds)
        if not self.is_allowed:
            raise RateLimited(self.retry_after_seconds)


class LocalBuckets:
    """The script's rule in memory, on the monotonic clock: each process counts alone, for 10,000 callers at most."""

    def __init__(self, capacity: int = 10_000) -> None:
        self.capacity = capacity
        self.buckets: OrderedDict[str, tuple[deque[tuple[float, int]], float]] = OrderedDict()
        self.lock = threading.Lock()

    def take(self, identity: str, limit: Limit, cost: int, now: float | None = None) -> tuple[bool, int, float, float]:
        """Return (allowed, remaining, seconds until it may be tried again, seconds until a token returns)."""
        now = time.monotonic() if now is None else now
        with self.lock:
            takes, arrival = self.buckets.pop(identity, (deque(), 0.0))
            while takes and takes[0][0] <= now:
                takes.popleft()
            free = limit.tokens - sum(tokens for _, tokens in takes)
            wait = 0.0
            missing = cost - free
            if missing > 0:
                wait = float(limit.period_seconds)
                for back, tokens in takes:
                    missing -= tokens
                    if missing <= 0:
                        wait = back - now
                        break
            start = max(arrival, now)
            if limit.burst < limit.tokens:
                emission = limit.period_seconds / limit.tokens
                depth = limit.burst * emission
                free = min(free, int((depth - (start - now)) / emission + 1e-9))
                wait = max(wait, start + cost * emission - now - depth)
                if wait <= 1e-9 and cost:
                    arrival = start + cost * emission
            is_allowed = wait <= 1e-9
            if is_allowed and cost:
                takes.append((now + limit.period_seconds, cost))
                free -= cost
            if takes:
                self.buckets[identity] = (takes, arrival)
                if len(self.buckets) > self.capacity:
                    self.buckets.popitem(last=False)
            return is_allowed, max(free, 0), max(wait, 0.0), takes[0][0] - now if takes else 0.0


class Bucket:
    """What the process asks; falls back to memory or refuses while Redis is away."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self.script = ScriptRunner(url, timeout_seconds)
        self.local = LocalBuckets()
        self.is_down = False
        self.try_again_at = 0.0
        REDIS_UP.set(1)

    def take(self, identity: str, limit: Limit, cost: int, route_class: str) -> Decision:
        if self.is_down:
            if time.monotonic() < self.try_again_at:
                return self.take_without_redis(identity, limit, cost, route_class)
            self.try_again_at = time.monotonic() + RETRY_SECONDS
        arguments = packed_arguments(limit.tokens, limit.period_seconds * 1_000_000, limit.burst, cost)
        try:
            allowed, remaining, wait, reset = self.script.run(f"psephos:limit:{identity}", arguments)
        except RedisError as error:
            REDIS_ERRORS.inc()
            if not self.is_down:
                self.is_down = True
                REDIS_UP.set(0)
                logger.error("rate limit: Redis does not answer (%s)", type(error).__name__)
            self.try_again_at = time.monotonic() + RETRY_SECONDS
            return self.take_without_redis(identity, limit, cost, route_class)
        if self.is_down:
            self.is_down = False
            REDIS_UP.set(1)
            logger.warning("rate limit: Redis answers again")
        return Decision(allowed == 1, limit, remaining, -(-wait // 1_000_000), -(-reset // 1_000_000))

    def take_without_redis(self, identity: str, limit: Limit, cost: int, route_class: str) -> Decision:
        if settings.RATE_LIMIT_WITHOUT_REDIS.get(route_class, "refuse") == "refuse":
            return Decision(False, limit, 0, ceil(RETRY_SECONDS), ceil(RETRY_SECONDS), is_available=False)
        is_allowed, remaining, wait, reset = self.local.take(identity, limit, cost)
        return Decision(is_allowed, limit, remaining, ceil(wait), ceil(reset), is_shared=False)


@lru_cache(maxsize=1)
def bucket() -> Bucket:
    return Bucket(settings.REDIS_URL, settings.RATE_LIMIT_REDIS_TIMEOUT_SECONDS)


@lru_cache(maxsize=64)
def parsed_limit(text: str) -> Limit:
    return Limit.parse(text)


def default_limit() -> Limit:
    """Return the limit of callers that have none of their own."""
    return parsed_limit(settings.RATE_LIMIT)


def take(*, identity: str, cost: int = 1, route_class: str = "read", limit: Limit | None = None) -> Decision:
    """Take `cost` tokens of a caller's bucket, all or none; the answer says whether they were there.

    `identity` is an Admission's or `address_identity`'s; `route_class` chooses what happens while Redis is away
    (settings.RATE_LIMIT_WITHOUT_REDIS). A cost of zero looks without taking. One round trip, no database.
    """
    decision = bucket().take(identity, limit or default_limit(), cost, route_class)
    if cost:
        outcome = "allowed" if decision.is_allowed else "refused" if decision.is_available else "unavailable"
        counter_of(route_class, outcome).inc()
    return decision


@lru_cache(maxsize=64)
def counter_of(route_class: str, outcome: str) -> Counter:
    return DECISIONS.labels(route_class, outcome)


# A child must not share its parent's connections.
os.register_at_fork(after_in_child=bucket.cache_clear)
