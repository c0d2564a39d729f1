"""Settings of `apikeys`: keys, limits, proxies. A value that does not parse stops the start and is named."""

import re
from ipaddress import ip_network
from typing import Any

from celery.schedules import crontab
from environs import ValidationError

from config.settings.env import env


def is_limit(value: str) -> None:
    if not re.fullmatch(r"[1-9]\d{0,8}/[1-9]\d{0,5}(:[1-9]\d{0,8})?", value.strip()):
        raise ValidationError(f"{value!r} is not REQUESTS/SECONDS or REQUESTS/SECONDS:BURST.")


def are_routes(values: list[str]) -> None:
    for value in values:
        route, _, limit = value.rpartition("=")
        if not re.fullmatch(r"\s*([A-Z]+ )?/\S*", route):
            raise ValidationError(f"{value!r} is not [METHOD ]/PREFIX=LIMIT.")
        if limit.strip() not in {"none", "default"}:
            is_limit(limit)


def are_cidrs(values: list[str]) -> None:
    for value in values:
        try:
            ip_network(value)
        except ValueError as error:
            raise ValidationError(f"{value!r} is not a network ({error}).") from error


def are_peppers(values: list[str]) -> None:
    for position, value in enumerate(values):  # a secret: named by its place only
        if not re.fullmatch(r"\d{1,4}:.+", value):
            raise ValidationError(f"Entry {position + 1} is not NUMBER:SECRET.")
    if not values:
        raise ValidationError("It is empty.")


# The limit of a caller (a key, else an address): REQUESTS/SECONDS or REQUESTS/SECONDS:BURST.
RATE_LIMIT: str = env.str("RATE_LIMIT", "60/60", validate=is_limit)
# Paths with a bucket of their own, the longest prefix wins: "[METHOD ]PREFIX=LIMIT", or `default`, or `none`;
# a PREFIX that ends in $ is a whole path.
# Probes must not be refused; pages and the staff's admin fetch more than an API client does.
RATE_LIMIT_ROUTES: list[str] = [
    "/healthz$=none",
    "/static/=none",
    "/graphiql=600/60",
    "/readyz=600/60",
    "/metrics=600/60",
    "/$=600/60",
    "/e/=600/60",
    "/notifications/webhooks/=6000/60",
    "/notifications/unsubscribe/=600/60",
    "/admin/=600/60",
    "/admin/login=20/60",
    "/admin/users=default",
    "/admin/api-keys=default",
    "/admin/metrics=default",
    *env.list("RATE_LIMIT_ROUTES", [], validate=are_routes),
]
# Sign-in in all its forms: refused, not served from memory, while Redis is down.
RATE_LIMIT_AUTH_PREFIXES = ("/auth", "/oidc", "/admin/login", "/admin/api-keys")
# What a class of routes does while Redis is down: `local` counts in the process's memory, `refuse` answers 503.
RATE_LIMIT_WITHOUT_REDIS = {
    "read": "local",
    "write": "refuse",
    "auth": "refuse",
    "socket": "local",
    "graphql": "local",
    "mutation": "refuse",
}
RATE_LIMIT_REDIS_TIMEOUT_SECONDS: float = env.float("RATE_LIMIT_REDIS_TIMEOUT_SECONDS", 0.25)
# Internal callers that are not limited.
RATE_LIMIT_BYPASS_CIDRS: list[str] = env.list("RATE_LIMIT_BYPASS_CIDRS", [], validate=are_cidrs)
# Only these peers' X-Forwarded-For is believed, counted from the right. They must drop headers whose names hold an
# underscore, as nginx does: under WSGI `X_Forwarded_For` cannot be told from it.
TRUSTED_PROXY_CIDRS: list[str] = env.list("TRUSTED_PROXY_CIDRS", [], validate=are_cidrs)

# NUMBER:SECRET, the current one first; digests made with the others stay valid until their keys are rotated.
API_KEY_PEPPERS: list[str] = env.list("API_KEY_PEPPERS", ["1:insecure-development-pepper"], validate=are_peppers)
# A revoked or expired key is refused by every process after at most this long.
API_KEY_CACHE_SECONDS: float = env.float("API_KEY_CACHE_SECONDS", 0.8)
# How often a process writes its counts of keys' requests; a killed process loses at most these.
API_KEY_USAGE_FLUSH_SECONDS: float = env.float("API_KEY_USAGE_FLUSH_SECONDS", 2)
API_KEY_USAGE_DAYS: int = env.int("API_KEY_USAGE_DAYS", 90)
API_KEY_SCOPES: dict[str, str] = {
    "elections:read": "Read elections, tallies and turnout",
    "elections:write": "Create, cancel and finalise elections (its owner must be an administrator)",
    "jobs:read": "Read the owner's jobs",
    "jobs:write": "Start and cancel jobs",
    "proofs:read": "Read circuits and the owner's proofs, and check proofs",
    "proofs:create": "Make zero-knowledge proofs, counted in the owner's daily quota",
    "notifications:read": "Read the status of notifications",
    "notifications:write": "Subscribe to notifications",
    "audit:read": "Read audit entries, checkpoints and proofs",
    "graphql": "Query GraphQL; each field still asks for its owner's permission",
    "admin:read": "Read users and metrics (its owner must be staff)",
    "admin:write": "Change users (its owner must be an administrator)",
    "admin:api-keys": "Manage API keys, also as the password of HTTP Basic (its owner must be an administrator)",
}

APIKEYS_BEAT: dict[str, dict[str, Any]] = {
    "apikeys.delete_old_usage": {"task": "apikeys.delete_old_usage", "schedule": crontab(hour="3", minute="17")},
}
