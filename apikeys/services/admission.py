"""Decides for each request who it counts for and whether it is let in."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import InterfaceError, OperationalError

from apikeys.exceptions import ApiKeyMalformed, ApiKeyNotAccepted, ApiKeyRefused
from apikeys.models import ApiKey
from apikeys.services.addresses import Client, find_client
from apikeys.services.bucket import Decision, Limit, default_limit, take
from apikeys.services.key_cache import is_known
from apikeys.services.keys import authenticate_key, split_key

SAFE_METHODS = {"GET", "HEAD", "OPTIONS"}


@dataclass(frozen=True, slots=True)
class RouteRule:
    """A path prefix with its own bucket (a Limit), with none (None), or with the caller's own (`is_default`).

    A prefix that ends in `$` is a whole path.
    """

    method: str
    prefix: str
    limit: Limit | None
    is_default: bool = False

    @property
    def name(self) -> str:
        return f"{self.method}{self.prefix}"


@dataclass(slots=True)
class Admission:
    """Which bucket a request counts in, what that said (None: not limited), and why its key was refused."""

    client: Client
    identity: str
    decision: Decision | None = None
    key: ApiKey | None = None
    refusal: Exception | None = None

    @property
    def is_allowed(self) -> bool:
        return self.decision is None or self.decision.is_allowed


@lru_cache(maxsize=8)
def parse_rules(entries: tuple[str, ...]) -> tuple[RouteRule, ...]:
    """Read RATE_LIMIT_ROUTES, longest prefix first; a later entry replaces an earlier one of the same route."""
    rules: dict[str, RouteRule] = {}
    for entry in entries:
        route, separator, value = entry.rpartition("=")
        method, _, prefix = route.strip().rpartition(" ")
        if not separator or not prefix.startswith("/"):
            raise ImproperlyConfigured(f"RATE_LIMIT_ROUTES: {entry!r} is not [METHOD ]/PREFIX=LIMIT")
        value = value.strip()
        limit = None if value in {"none", "default"} else Limit.parse(value, name=f"RATE_LIMIT_ROUTES: {entry!r}")
        rule = RouteRule(method.upper(), prefix, limit, value == "default")
        rules[rule.name] = rule
    return tuple(sorted(rules.values(), key=lambda rule: (-len(rule.prefix), not rule.method)))


_rules: tuple[list[str], tuple[RouteRule, ...], tuple[str, ...]] = ([], (), ())


def rules_of(entries: list[str]) -> tuple[tuple[RouteRule, ...], tuple[str, ...]]:
    """Return the rules of a setting and their prefixes, without hashing a dozen strings for each request."""
    global _rules
    known, rules, prefixes = _rules
    if known is not entries:
        rules = parse_rules(tuple(entries))
        prefixes = tuple(rule.prefix.removesuffix("$") for rule in rules)
        _rules = (entries, rules, prefixes)
    return rules, prefixes


def find_rule(*, method: str, path: str) -> RouteRule | None:
    rules, prefixes = rules_of(settings.RATE_LIMIT_ROUTES)
    if not path.startswith(prefixes):
        return None
    for rule in rules:
        is_met = path == rule.prefix[:-1] if rule.prefix.endswith("$") else path.startswith(rule.prefix)
        if is_met and rule.method in {"", method}:
            return None if rule.is_default else rule
    return None


def limit_of(key: ApiKey | None) -> Limit:
    if key is None or key.limit_per_minute is None:
        return default_limit()
    return Limit(key.limit_per_minute, 60, key.limit_per_minute)


def route_class_of(*, method: str, path: str) -> str:
    """Name the class that decides what happens while Redis is away."""
    if path == "/graphql":
        return "graphql"
    if path.startswith(settings.RATE_LIMIT_AUTH_PREFIXES):
        return "auth"
    return "read" if method in SAFE_METHODS else "write"


# Addresses whose bucket is empty and that tried keys which do not exist: until their next token, unknown keys
# from there are refused without asking the database.
_guessers: dict[str, tuple[float, Decision]] = {}


def admit(
    *, method: str, path: str, authorization: str, peer: str, forwarded_for: str = "", route_class: str = ""
) -> Admission:
    """Take a token for a request: of its key's bucket if the key is good, else of its address's.

    One round trip to Redis, and none to the database while the key is cached.
    """
    client = find_client(peer=peer, forwarded_for=forwarded_for)
    admission = Admission(client, client.identity)
    if authorization[:7].lower() == "api-key":
        text = authorization[7:].strip() if authorization[7:8] == " " else ""
        guessed = _guessers.get(client.identity)
        if guessed and guessed[0] > time.monotonic() and not is_known(split_key(text) or ""):
            admission.refusal, admission.decision = ApiKeyMalformed(), guessed[1]
            return admission
        try:
            admission.key = authenticate_key(text)
            admission.identity = f"key:{admission.key.lookup_id}"
        except (ApiKeyRefused, OperationalError, InterfaceError) as refusal:  # also when the database is away
            admission.refusal = refusal

    rule = find_rule(method=method, path=path)
    if client.is_bypassed or (rule and rule.limit is None):
        return admission
    if rule:
        admission.identity = f"{admission.identity}:{rule.name}"
    admission.decision = take(
        identity=admission.identity,
        route_class=route_class or route_class_of(method=method, path=path),
        limit=rule.limit if rule else limit_of(admission.key),
    )
    if admission.refusal and not admission.decision.is_allowed:
        if len(_guessers) > 1000:
            _guessers.clear()
        _guessers[client.identity] = (
            time.monotonic() + min(admission.decision.retry_after_seconds, 1),
            admission.decision,
        )
    return admission


def admit_socket(scope: Mapping[str, Any]) -> None:
    """Take a token for a WebSocket that connects; raise RateLimited, or ApiKeyNotAccepted: sockets take no key."""

    def header(name: bytes) -> str:
        """Join doubled headers, as WSGI servers do."""
        return b",".join(value for key, value in scope.get("headers", []) if key == name).decode("latin-1")

    admission = admit(
        method="GET",
        path=scope["path"],
        authorization=header(b"authorization"),
        peer=(scope.get("client") or [""])[0] or "",
        forwarded_for=header(b"x-forwarded-for"),
        route_class="socket",
    )
    if admission.decision is not None:
        admission.decision.raise_refusal()
    if admission.refusal is not None:
        raise admission.refusal
    if admission.key is not None:
        raise ApiKeyNotAccepted
