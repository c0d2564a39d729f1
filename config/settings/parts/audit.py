"""Settings of `audit`."""

from pathlib import Path
from typing import Any

from celery.schedules import crontab
from environs import ValidationError

from audit.note import NoteError, SigningKey, VerifierKey
from config.settings.env import env, is_url


def _is_signing_key(value: str) -> None:
    try:
        if value:
            SigningKey.parse(value)
    except NoteError as error:
        raise ValidationError(str(error)) from error


def _are_verifier_keys(values: list[str]) -> None:
    try:
        for value in values:
            VerifierKey.parse(value)
    except NoteError as error:
        raise ValidationError(str(error)) from error


# Public, hence worthless: production refuses it. Its name marks every checkpoint that it signs.
AUDIT_DEVELOPMENT_KEY = (
    "PRIVATE+KEY+psephos.localhost/insecure-development+d982d0cf+AX/qDHPPuhY4dah6VR87sD436OdovfgHFp0FHkHxhyEH"
)
# The log's Ed25519 key (`manage.py create_audit_key ORIGIN` makes one); its name is the log's origin. Only the
# sequencer needs it: the other processes are given AUDIT_VERIFIER_KEYS.
AUDIT_SIGNING_KEY: str = env.str("AUDIT_SIGNING_KEY", "", validate=_is_signing_key)
# Public keys whose checkpoints are accepted besides the signing key's; after a change of keys, the former ones.
AUDIT_VERIFIER_KEYS: list[str] = env.list("AUDIT_VERIFIER_KEYS", [], validate=_are_verifier_keys)
# The key of the digests that stand for personal data; whoever has it can test guesses.
AUDIT_DEVELOPMENT_PEPPER = "insecure-development-pepper"
AUDIT_PEPPER: str = env.str("AUDIT_PEPPER", AUDIT_DEVELOPMENT_PEPPER)

AUDIT_SEQUENCER_POLL_SECONDS: float = env.float("AUDIT_SEQUENCER_POLL_SECONDS", 0.2)
# A receipt can be proven once a checkpoint covers its entry.
AUDIT_CHECKPOINT_SECONDS: float = env.float("AUDIT_CHECKPOINT_SECONDS", 5)

# The write-once store of the daily exports: a bucket with object lock, else a folder.
AUDIT_EXPORT_FOLDER: Path = env.path("AUDIT_EXPORT_FOLDER", Path(".local/audit-exports"))
AUDIT_EXPORT_BUCKET: str = env.str("AUDIT_EXPORT_BUCKET", "")
AUDIT_EXPORT_ENDPOINT_URL: str = env.str("AUDIT_EXPORT_ENDPOINT_URL", "", validate=is_url("http", "https"))
AUDIT_EXPORT_RETENTION_DAYS: int = env.int("AUDIT_EXPORT_RETENTION_DAYS", 3650)
AUDIT_EXPORT_STORAGE: dict[str, Any] = (
    {
        "BACKEND": "audit.buckets.LockedBucket",
        "OPTIONS": {
            "bucket_name": AUDIT_EXPORT_BUCKET,
            "endpoint_url": AUDIT_EXPORT_ENDPOINT_URL or None,
            "retention_days": AUDIT_EXPORT_RETENTION_DAYS,
        },
    }
    if AUDIT_EXPORT_BUCKET
    else {"BACKEND": "audit.storage.WriteOnceFolder", "OPTIONS": {"location": AUDIT_EXPORT_FOLDER}}
)

# The AuditAnchor contract whose roots `verify_audit` reads; default: CHAIN_DEPLOYMENT_FILE's.
AUDIT_ANCHOR_CONTRACT: str = env.str("AUDIT_ANCHOR_CONTRACT", "")

AUDIT_BEAT: dict[str, dict[str, Any]] = {
    "audit-export": {
        "task": "audit.export_log",
        "schedule": crontab(hour=0, minute=10),
        "options": {"queue": "audit"},
    },
    "audit-verify": {
        "task": "audit.verify_log",
        "schedule": crontab(hour="*/6", minute=40),
        "options": {"queue": "audit"},
    },
}
