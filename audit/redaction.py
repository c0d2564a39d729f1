"""Keeps secrets and personal data out of the log: secrets are dropped, personal data becomes a keyed digest.

The log can never forget, so what must be forgettable is never written to it. A digest still lets an
investigator who knows a value find its entries; its key (`AUDIT_PEPPER`) keeps everybody else from guessing.
"""

import hmac
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any
from uuid import UUID

SECRET_FIELDS = frozenset(
    {
        "password", "passwd", "passphrase", "secret", "token", "jwt", "bearer", "authorization", "cookie",
        "session_key", "api_key", "private_key", "secret_key", "signing_key", "pepper", "otp", "pin", "code_verifier",
        "client_assertion", "credential", "credentials", "seed", "mnemonic", "witness", "trapdoor", "private_input",
        "private_inputs", "identity_secret", "nullifier_secret", "blinding", "csrf_token", "csrfmiddlewaretoken"
    }
)  # fmt: skip
PERSONAL_FIELDS = frozenset(
    {
        "email", "e_mail", "email_address", "mail", "phone", "phone_number", "mobile", "msisdn", "first_name",
        "last_name", "full_name", "given_name", "family_name", "middle_name", "birth_date", "birthdate",
        "date_of_birth", "national_id", "personal_number", "personal_identifier", "egn", "ssn", "postal_address",
        "street_address", "ip", "ip_address", "client_ip", "remote_addr", "user_agent", "recipient", "sub",
        "eid_subject", "username", "preferred_username"
    }
)  # fmt: skip
# A field is also secret by its last word: `refresh_token`, `old_password`; `token_id` is not.
SECRET_LAST_WORDS = frozenset({"password", "passphrase", "secret", "token", "jwt", "mnemonic", "credential"})
PERSONAL_LAST_WORDS = frozenset({"email", "phone"})

SECRET_VALUES = re.compile(
    r"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)*"  # a JWT
    r"|\bpsk_[A-Za-z0-9_-]{8,}"  # one of our API keys
    r"|(?i:\b(?:bearer|basic|api-key)\s+)[A-Za-z0-9+/=._~-]{8,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    r"|PRIVATE\+KEY\+\S+"
)
PERSONAL_VALUES = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")
REDACTED = "[redacted]"
MAX_SAFE_INTEGER = 2**53 - 1  # RFC 8785 numbers are IEEE doubles
MAX_DEPTH = 20
TOO_DEEP = "[too deep]"
MAX_KEPT_NAME = 64  # characters of a field's name whose kind is remembered


def field_words(name: str) -> str:
    """Spell a field's name as lower-case words: `accessToken`, `Access-Token` → `access_token`."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_")


def is_secret_field(name: str) -> bool:
    words = field_words(name)
    return words in SECRET_FIELDS or words.rpartition("_")[2] in SECRET_LAST_WORDS


def is_personal_field(name: str) -> bool:
    words = field_words(name)
    return words in PERSONAL_FIELDS or words.rpartition("_")[2] in PERSONAL_LAST_WORDS


@lru_cache(maxsize=4096)
def field_kind(name: str) -> tuple[bool, bool, bool]:
    """Return whether a field is secret, whether it is personal, and whether its name is written as it is."""
    return is_secret_field(name), is_personal_field(name), redact_text(name, pepper=b"") == name


def personal_digest(value: str, *, pepper: bytes) -> str:
    """Return the keyed digest that stands for a piece of personal data."""
    return "hmac-sha256:" + hmac.digest(pepper, value.strip().casefold().encode("utf-8", "replace"), "sha256").hex()


def redact_text(text: str, *, pepper: bytes) -> str:
    """Clean a free text: tokens and keys are dropped, e-mail addresses digested, unstorable characters replaced."""
    if not text.isascii() or "\0" in text:
        # PostgreSQL's jsonb cannot hold U+0000, and canonical JSON no lone surrogate.
        text = text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
    # Looked for first, as most texts have none of it: each secret has one of these, or a scheme and a space.
    if (
        "eyJ" in text
        or "psk_" in text
        or "-----BEGIN " in text
        or "PRIVATE+KEY+" in text
        or len(text.split(None, 1)) > 1
    ):
        text = SECRET_VALUES.sub(REDACTED, text)
    if "@" in text:
        text = PERSONAL_VALUES.sub(lambda found: personal_digest(found[0], pepper=pepper), text)
    return text


def redact(value: Any, *, pepper: bytes, depth: int = 0) -> Any:
    """Turn a value into canonical JSON's types (strings, safe integers, booleans, null, arrays, objects), redacted."""
    if type(value) is str:  # the usual one first
        return redact_text(value, pepper=pepper)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return redact_text(value, pepper=pepper)
    if isinstance(value, int):
        return value if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, Mapping):
        return redact_fields(value, pepper=pepper, depth=depth + 1) if depth < MAX_DEPTH else TOO_DEEP
    if isinstance(value, (float, Decimal, UUID)):
        return str(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "0x" + bytes(value).hex()
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=str) if isinstance(value, (set, frozenset)) else value
        return [redact(item, pepper=pepper, depth=depth + 1) for item in items] if depth < MAX_DEPTH else TOO_DEEP
    return redact_text(str(value), pepper=pepper)


def redact_fields(fields: Mapping[Any, Any], *, pepper: bytes, depth: int) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    for key, value in fields.items():
        name = key if type(key) is str else str(key)
        is_secret, is_personal, is_plain = (
            field_kind(name) if len(name) <= MAX_KEPT_NAME else field_kind.__wrapped__(name)
        )
        written = name if is_plain else redact_text(name, pepper=pepper)
        if value is None or isinstance(value, bool):
            clean[written] = value
        elif is_secret:
            clean[written] = REDACTED
        elif is_personal:
            clean[written] = digest_personal(value, pepper=pepper)
        else:
            clean[written] = redact(value, pepper=pepper, depth=depth)
    return clean


def digest_personal(value: Any, *, pepper: bytes) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (list, tuple, set, frozenset)):
        return [digest_personal(item, pepper=pepper) for item in value]
    return "" if value == "" else personal_digest(str(value), pepper=pepper)
