"""Checks job inputs, and seals those that are secret.

A sealed input lies in Redis alone, encrypted, until the job ends or a time has passed: it never reaches the
database's files and backups, nor the broker's messages (docs/adr/0019).
"""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.cache import cache
from rest_framework.exceptions import ValidationError

from jobs.exceptions import InputTooLarge, SecretInputLost
from jobs.services.registry import JobType

MAX_ERRORS = 20
MAX_DEPTH = 32


def check_input(*, job_type: JobType, value: Any) -> bytes:
    """Check an input against its type and return its canonical bytes.

    Raises ValidationError with a JSON pointer for each fault, or InputTooLarge.
    """
    if not isinstance(value, Mapping):
        raise ValidationError({"non_field_errors": ["The input must be a JSON object."]})
    if depth_of(value) > MAX_DEPTH:
        raise ValidationError({"non_field_errors": [f"The input is nested deeper than {MAX_DEPTH} levels."]})
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        canonical = text.encode()
    except (ValueError, TypeError, UnicodeEncodeError):
        raise ValidationError({"non_field_errors": ["The input holds what JSON cannot carry."]}) from None
    if len(canonical) > job_type.max_input_bytes:
        raise InputTooLarge
    # PostgreSQL's jsonb has no NUL.
    if "\\u0000" in text:
        raise ValidationError({"non_field_errors": ["The input holds a NUL character."]})
    errors: dict[str, Any] = {}
    for index, error in enumerate(job_type.validator.iter_errors(value)):
        if index == MAX_ERRORS:
            break
        place = "/".join(str(part) for part in error.absolute_path) or "non_field_errors"
        errors.setdefault(place, []).append(describe(error, is_secret=job_type.is_secret))
    if errors:
        raise ValidationError(errors)
    return canonical


def depth_of(value: Any) -> int:
    """Measure how deep a JSON value is nested, without recursion."""
    deepest, stack = 0, [(value, 1)]
    while stack:
        item, depth = stack.pop()
        if isinstance(item, Mapping | list):
            deepest = max(deepest, depth)
            if depth > MAX_DEPTH:
                return depth
            children = item.values() if isinstance(item, Mapping) else item
            stack.extend((child, depth + 1) for child in children)
    return deepest


def describe(error: Any, *, is_secret: bool) -> str:
    """Say what is wrong with a value, without repeating it: it may be large, or secret."""
    if error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        return f"Required: {', '.join(missing)}."
    if error.validator == "additionalProperties":
        if is_secret:
            return "Holds an unknown field."
        unknown = sorted(set(error.instance) - set(error.schema.get("properties", {})))
        return f"Unknown: {', '.join(name[:40] for name in unknown[:5])}."
    return f"Does not satisfy `{error.validator}: {json.dumps(error.validator_value)[:200]}`."


def digest_of(*, type: str, canonical: bytes) -> str:  # noqa: A002
    """Fingerprint a type and its input; keyed, so that a secret of few possibilities cannot be guessed from it."""
    return hmac.new(
        derived_key(settings.SECRET_KEY, b"digest"), type.encode() + b"\0" + canonical, "sha256"
    ).hexdigest()


def derived_key(secret: str | bytes, purpose: bytes) -> bytes:
    secret = secret.encode() if isinstance(secret, str) else secret
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"psephos jobs v1 " + purpose).derive(secret)


def fernet() -> MultiFernet:
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(base64.urlsafe_b64encode(derived_key(secret, b"input"))) for secret in secrets])


def sealed_name(job_id: uuid.UUID) -> str:
    return "jobs:input:" + hashlib.sha256(job_id.bytes).hexdigest()


def seal(*, job_id: uuid.UUID, canonical: bytes) -> None:
    """Keep a secret input encrypted in Redis for as long as JOBS_SECRET_INPUT_SECONDS."""
    cache.set(sealed_name(job_id), fernet().encrypt(canonical), settings.JOBS_SECRET_INPUT_SECONDS)


def unseal(*, job_id: uuid.UUID) -> dict[str, Any]:
    """Decrypt a secret input, or raise SecretInputLost."""
    sealed = cache.get(sealed_name(job_id))
    if sealed is None:
        raise SecretInputLost
    try:
        opened: dict[str, Any] = json.loads(fernet().decrypt(sealed))
    except InvalidToken:
        raise SecretInputLost from None
    return opened


def wipe(*, job_id: uuid.UUID) -> None:
    """Remove a secret input; does nothing when there is none."""
    cache.delete(sealed_name(job_id))
