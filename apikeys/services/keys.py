"""Makes, proves, changes, rotates and revokes API keys."""

import copy
import hmac
import re
import secrets
import zlib
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from apikeys.exceptions import (
    ApiKeyExpired,
    ApiKeyMalformed,
    ApiKeyNotAccepted,
    ApiKeyNotActive,
    ApiKeyRevoked,
    ApiKeyScopeMissing,
    ApiKeyUnknown,
    OwnerNotAllowed,
)
from apikeys.models import ApiKey
from apikeys.selectors import lock_api_key
from apikeys.services.key_cache import cached_key, forget_keys
from audit.services import record

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
# The whole of it is also what secret scanners look for; they check the last six by `checksum`.
KEY_FORM = re.compile(r"psk_([0-9A-Za-z]{12})([0-9A-Za-z]{32})([0-9A-Za-z]{6})")
DEVELOPMENT_PEPPER_PREFIX = "insecure-"
STAFF_SCOPES = {"admin:read"}
ADMIN_SCOPES = {"elections:write", "admin:write", "admin:api-keys"}


def checksum(text: str) -> str:
    """Write the CRC-32 of `psk_` + id + secret in six base-62 digits."""
    number, digits = zlib.crc32(text.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = ALPHABET[digit] + digits
    return digits


def generate_key() -> str:
    """Make a key: `psk_`, 12 characters to find it by, 32 secret ones (190 bits), a checksum of 6."""
    body = "psk_" + "".join(secrets.choice(ALPHABET) for _ in range(44))
    return body + checksum(body)


def split_key(text: str) -> str | None:
    """Return a key's lookup id, or None when its form or checksum is wrong."""
    found = KEY_FORM.fullmatch(text)
    if found is None or checksum(text[:-6]) != found[3]:
        return None
    return found[1]


@lru_cache(maxsize=4)
def parsed_peppers(entries: tuple[str, ...]) -> Mapping[int, bytes]:
    peppers = {}
    for position, entry in enumerate(entries):
        number, _, secret = entry.partition(":")
        if not number.isdecimal() or not secret:  # the entry is a secret: named by its place only
            raise ImproperlyConfigured(f"API_KEY_PEPPERS: entry {position + 1} is not NUMBER:SECRET")
        peppers[int(number)] = secret.encode()
    if not peppers:
        raise ImproperlyConfigured("API_KEY_PEPPERS is empty")
    return peppers


def peppers() -> Mapping[int, bytes]:
    """Return the peppers by number, the current one first."""
    return parsed_peppers(tuple(settings.API_KEY_PEPPERS))


def digest_of(key: str, pepper_number: int) -> str:
    """Return the HMAC-SHA256 of a key; 190 random bits need no slow hash."""
    pepper = peppers().get(pepper_number, b"the pepper of this key is not configured")
    return hmac.digest(pepper, key.encode(), "sha256").hex()


# Proving a key.


def authenticate_key(text: str) -> ApiKey:
    """Prove a key and return its row with the owner; raise an ApiKeyRefused that says why not.

    Known and unknown ids take the same comparison, so that its time tells nothing.
    """
    lookup_id = split_key(text)
    if lookup_id is None:
        raise ApiKeyMalformed
    key = cached_key(lookup_id)
    expected = key.digest if key else "0" * 64
    number = key.pepper_number if key else next(iter(peppers()))
    is_same = hmac.compare_digest(expected, digest_of(text, number))
    if key is None or not is_same or (number not in peppers()):
        raise ApiKeyUnknown
    if key.revoked_at or not key.owner.is_active:
        raise ApiKeyRevoked
    if key.expires_at and key.expires_at <= timezone.now():
        raise ApiKeyExpired
    return key


def owner_of(key: ApiKey) -> User:
    """Return a request's own copy of the owner: cached rows are shared between threads."""
    return copy.copy(key.owner)


def check_scope(key: ApiKey, *, scopes: Mapping[str, str] | None, method: str) -> None:
    """Check that a view takes the key: raise ApiKeyNotAccepted when it declares no scope for the method."""
    scope = (scopes or {}).get("GET" if method == "HEAD" else method)
    if scope is None:
        raise ApiKeyNotAccepted
    if scope not in key.scopes:
        raise ApiKeyScopeMissing(f"The key lacks the scope {scope}.")


# Changing keys.


def check_owner(owner: User, scopes: Iterable[str]) -> None:
    wanted = set(scopes)
    if (
        not owner.is_active
        or (wanted & ADMIN_SCOPES and not owner.is_admin)
        or (wanted & STAFF_SCOPES and not owner.is_staff)
    ):
        raise OwnerNotAllowed


def target_of(key: ApiKey) -> str:
    return f"apikey:{key.lookup_id}"


@transaction.atomic
def create_api_key(
    *,
    name: str,
    owner: User,
    scopes: Iterable[str],
    actor: str,
    expires_at: datetime | None = None,
    limit_per_minute: int | None = None,
    replaces: ApiKey | None = None,
) -> tuple[ApiKey, str]:
    """Make a key and return it with its plaintext, which exists nowhere afterwards.

    Raises OwnerNotAllowed when the owner may not do what the scopes allow.
    """
    scopes = sorted(set(scopes))
    check_owner(owner, scopes)
    text = generate_key()
    number = next(iter(peppers()))
    key = ApiKey.objects.create(
        lookup_id=text[4:16],
        digest=digest_of(text, number),
        pepper_number=number,
        name=name,
        owner=owner,
        scopes=scopes,
        expires_at=expires_at,
        limit_per_minute=limit_per_minute,
        replaces=replaces,
    )
    record(
        action="apikeys.key.created",
        actor=actor,
        target=target_of(key),
        data={"name": name, "owner": f"user:{owner.pk}", "scopes": scopes, "limit_per_minute": limit_per_minute}
        | ({"expires_at": expires_at.isoformat()} if expires_at else {})
        | ({"replaces": target_of(replaces)} if replaces else {}),
    )
    return key, text


@transaction.atomic
def update_api_key(*, key_id: UUID, changes: Mapping[str, Any], actor: str) -> ApiKey:
    """Change a key's name, scopes, expiry or limit; raise ApiKeyNotActive once it is revoked."""
    key = lock_api_key(key_id=key_id)
    if key.revoked_at:
        raise ApiKeyNotActive
    changes = {name: value for name, value in changes.items() if getattr(key, name) != value}
    if "scopes" in changes:
        changes["scopes"] = sorted(set(changes["scopes"]))
        check_owner(key.owner, changes["scopes"])
    if changes:
        for name, value in changes.items():
            setattr(key, name, value)
        key.save(update_fields=list(changes))
        data = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in changes.items()}
        record(action="apikeys.key.changed", actor=actor, target=target_of(key), data=data)
        transaction.on_commit(forget_keys)
    return key


@transaction.atomic
def revoke_api_key(*, key_id: UUID, actor: str) -> ApiKey:
    """Revoke a key for good; a second call changes nothing."""
    key = lock_api_key(key_id=key_id)
    if key.revoked_at is None:
        key.revoked_at = timezone.now()
        key.save(update_fields=["revoked_at"])
        record(action="apikeys.key.revoked", actor=actor, target=target_of(key))
        transaction.on_commit(forget_keys)
    return key


@transaction.atomic
def rotate_api_key(*, key_id: UUID, overlap_seconds: int, actor: str) -> tuple[ApiKey, str]:
    """Make a key's successor and let the old one live for `overlap_seconds` more.

    The successor has the name, owner, scopes, limit and expiry of the old one. Raises ApiKeyNotActive for a key
    that is revoked, expired or was rotated before.
    """
    old = lock_api_key(key_id=key_id)
    now = timezone.now()
    if old.status_at(now) != "active" or ApiKey.objects.filter(replaces=old).exists():
        raise ApiKeyNotActive
    new, text = create_api_key(
        name=old.name,
        owner=old.owner,
        scopes=old.scopes,
        actor=actor,
        expires_at=old.expires_at,
        limit_per_minute=old.limit_per_minute,
        replaces=old,
    )
    ends_at = now + timedelta(seconds=overlap_seconds)
    if old.expires_at is None or ends_at < old.expires_at:
        old.expires_at = ends_at
        old.save(update_fields=["expires_at"])
    record(
        action="apikeys.key.rotated",
        actor=actor,
        target=target_of(old),
        data={"replaced_by": target_of(new), "expires_at": old.expires_at.isoformat()},
    )
    transaction.on_commit(forget_keys)
    return new, text
