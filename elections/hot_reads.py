"""Keeps the bodies that are read most, serialised and compressed, in the process and in Redis (docs/adr/0006).

Each body has a version in Redis, a random token that every change replaces. A process serves what it holds while
the version is the one under which it built it, and asks for the version again once its lease has run out. A
publisher replaces the token after commit and waits out a lease before it pushes: whoever has seen a push gets a
body that is at least as new.
"""

import gzip
import hashlib
import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import brotli
import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

logger = logging.getLogger(__name__)

LEASE_SECONDS = 0.010
# A change whose publisher died between commit and push shows at the latest after this.
MAX_AGE_SECONDS = 30
VERSION_SECONDS = 3600
# Without Redis there are no versions: bodies are built from the database, at most this often.
MAX_AGE_WITHOUT_REDIS_SECONDS = 1
REBUILD_SECONDS = 3
PREFIX = "psephos:hot"


@dataclass(slots=True)
class Body:
    """One body in every encoding, and the version under which it was built."""

    version: bytes
    etag: str
    plain: bytes
    gzip: bytes
    br: bytes
    built_at: float
    asked_at: float

    def encoded(self, encoding: str) -> bytes:
        return self.br if encoding == "br" else self.gzip if encoding == "gzip" else self.plain


class RedisAway(Exception):
    """Redis does not answer."""


class HotReads:
    """The bodies that this process holds: least recently used ones go first, at most `capacity` of them."""

    def __init__(self, capacity: int = 1000) -> None:
        self.capacity = capacity
        self.bodies: OrderedDict[str, Body] = OrderedDict()
        # Striped, so that locks do not grow with the keys that were ever asked for.
        self.locks = [threading.Lock() for _ in range(64)]
        self.away_until = 0.0

    def get(
        self,
        key: str,
        *,
        topic: str,
        build: Callable[[], bytes],
        is_shared: bool,
        max_age_seconds: float | None = None,
    ) -> Body:
        """Return the body under `key`, building it when the version of its `topic` has changed or it is too old.

        `is_shared` bodies are built by one process for all and kept in Redis. What `build` raises is passed on.
        """
        body = self.bodies.get(key)
        now = time.monotonic()
        if body is not None and now - body.asked_at < LEASE_SECONDS:
            return body
        try:
            version = self.version_of(topic)
        except RedisAway:
            if body is not None and now - body.built_at < MAX_AGE_WITHOUT_REDIS_SECONDS:
                return body
            with self.lock_of(key):
                return self.keep(key, make_body(build(), version=b""))
        max_age = MAX_AGE_SECONDS if max_age_seconds is None else max_age_seconds
        if self.is_current(body, version, now, max_age):
            assert body is not None
            body.asked_at = now
            return self.keep(key, body)
        with self.lock_of(key):
            # Another thread may have built it while this one waited.
            body = self.bodies.get(key)
            if self.is_current(body, version, now, max_age):
                assert body is not None
                return body
            fresh = self.build_once(key, version, build) if is_shared else make_body(build(), version=version)
            # Asked before it was built: the lease must not count the time of the building.
            fresh.asked_at = now
            return self.keep(key, fresh)

    @staticmethod
    def is_current(body: Body | None, version: bytes, now: float, max_age: float) -> bool:
        return body is not None and body.version == version and now - body.built_at < max_age

    def lock_of(self, key: str) -> threading.Lock:
        return self.locks[hash(key) % len(self.locks)]

    def keep(self, key: str, body: Body) -> Body:
        self.bodies[key] = body
        self.bodies.move_to_end(key)
        while len(self.bodies) > self.capacity:
            self.bodies.popitem(last=False)
        return body

    def version_of(self, topic: str) -> bytes:
        """Ask Redis for a topic's version; raise RedisAway, and do not ask again for a second, when it is silent."""
        if time.monotonic() < self.away_until:
            raise RedisAway
        try:
            return connection().get(f"{PREFIX}:version:{topic}") or b""  # type: ignore[return-value]
        except redis.RedisError as error:
            self.away_until = time.monotonic() + MAX_AGE_WITHOUT_REDIS_SECONDS
            logger.warning("redis is away, reading from the database", extra={"error": type(error).__name__})
            raise RedisAway from error

    def build_once(self, key: str, version: bytes, build: Callable[[], bytes]) -> Body:
        """Take the body from Redis, or build it there for every process; the others wait for the one that builds."""
        name = f"{PREFIX}:body:{key}"
        deadline = time.monotonic() + REBUILD_SECONDS
        lock = f"{PREFIX}:building:{key}:{version.decode()}"
        try:
            while True:
                stored = load(name)
                if stored is not None and stored.version == version:
                    return stored
                if connection().set(lock, b"1", nx=True, px=REBUILD_SECONDS * 1000):
                    break
                if time.monotonic() > deadline:
                    break
                time.sleep(0.005)
            body = make_body(build(), version=version)
            store(name, body)
            connection().delete(lock)
            return body
        except redis.RedisError:
            return make_body(build(), version=version)

    def clear(self) -> None:
        self.bodies.clear()
        self.away_until = 0.0


hot_reads = HotReads()


def invalidate(topics: Iterable[str]) -> None:
    """Replace the versions of these topics; call it after commit."""
    token = secrets.token_hex(8)
    try:
        with connection().pipeline(transaction=False) as pipe:
            for topic in topics:
                pipe.set(f"{PREFIX}:version:{topic}", token, ex=VERSION_SECONDS)
            pipe.execute()
    except redis.RedisError as error:
        # Readers then build from the database, or drop what they hold when it is MAX_AGE_SECONDS old.
        logger.warning("versions not replaced: redis is away", extra={"error": type(error).__name__})


def wait_out_lease() -> None:
    """Wait until no process serves what it held before the last `invalidate`."""
    time.sleep(LEASE_SECONDS * 1.5)


def make_body(plain: bytes, *, version: bytes) -> Body:
    now = time.monotonic()
    etag = hashlib.sha256(plain).hexdigest()[:24]
    return Body(version, etag, plain, gzip.compress(plain, 6, mtime=0), brotli.compress(plain, quality=5), now, now)


def store(name: str, body: Body) -> None:
    fields: dict[Any, Any] = {
        b"version": body.version,
        b"etag": body.etag,
        b"plain": body.plain,
        b"gzip": body.gzip,
        b"br": body.br,
    }
    with connection().pipeline() as pipe:
        pipe.hset(name, mapping=fields)
        pipe.expire(name, MAX_AGE_SECONDS)
        pipe.execute()


def load(name: str) -> Body | None:
    found: Any = connection().hmget(name, ["version", "etag", "plain", "gzip", "br"])
    version, etag, plain, gzipped, br = found
    if plain is None:
        return None
    now = time.monotonic()
    return Body(version, etag.decode(), plain, gzipped, br, now, now)


@cache
def connection() -> redis.Redis:
    # One retry, for a connection that the server has closed; more would hold up a reader while Redis is away.
    retry = Retry(NoBackoff(), 1)
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=0.5, socket_connect_timeout=0.5, retry=retry)


@lru_cache(maxsize=256)
def choose_encoding(accept_encoding: str) -> str:
    """Choose br, gzip or nothing from an Accept-Encoding header (RFC 9110, section 12.5.3)."""
    accepted = set()
    for part in accept_encoding.lower().split(","):
        name, _, weight = part.strip().partition(";")
        if weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000"):
            accepted.add(name.strip())
    return "br" if "br" in accepted else "gzip" if "gzip" in accepted else ""
