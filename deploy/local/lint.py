"""Runs every linter and comparison, shows one line each, and what a failing one said."""

import base64
import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit.note import SigningKey

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = Path(sys.executable).parent
OPENAPI = ROOT / "docs" / "openapi.yaml"


def production_environment() -> dict[str, str]:
    """Return a whole environment of production with random secrets, for checks that must not depend on a real one."""
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings.production",
        "SECRET_KEY": secrets.token_urlsafe(60),
        "API_KEY_PEPPERS": f"1:{secrets.token_urlsafe(30)}",
        "DATABASE_URL": "postgresql://psephos_app@127.0.0.1:5432/psephos",
        "REDIS_URL": "redis://127.0.0.1:6379/0",
        "ALLOWED_HOSTS": "elections.example",
        "PUBLIC_URL": "https://elections.example",
        "AUDIT_VERIFIER_KEYS": str(SigningKey.generate("elections.example/audit").verifier()),
        "METRICS_TOKEN": secrets.token_urlsafe(30),
        "AUTH_SIGNING_KEYS": base64.b64encode(new_private_key()).decode(),
        "TOKEN_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "AUDIT_PEPPER": secrets.token_urlsafe(40),
        "CENSUS_KEY": secrets.token_urlsafe(40),
    }


def sequencer_environment() -> dict[str, str]:
    """Return the whole environment of the sequencer in production."""
    return {
        "DJANGO_SETTINGS_MODULE": "config.settings.sequencer",
        "DATABASE_URL": "postgresql://psephos_sequencer@127.0.0.1:5432/psephos",
        "AUDIT_SIGNING_KEY": SigningKey.generate("elections.example/audit").encode(),
    }


def new_private_key() -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return Ed25519PrivateKey.generate().private_bytes(encoding, form, serialization.NoEncryption())


def plain_environment() -> dict[str, str]:
    """Return what a process needs of ours and none of the settings that the caller's shell may hold."""
    kept = ("PATH", "HOME", "LANG", "TMPDIR", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ} | {
        "DJANGO_SETTINGS_MODULE": "config.settings.local"
    }


def run(name: str, command: list[str], environment: dict[str, str] | None = None) -> bool:
    started = time.monotonic()
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environment or plain_environment(),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    print(
        f"  {'ok    ' if done.returncode == 0 else 'FAILED'} {name}  ({time.monotonic() - started:.1f} s)", flush=True
    )
    if done.returncode:
        print((done.stdout + done.stderr).strip()[-6000:])
    return done.returncode == 0


def main() -> None:
    manage = [str(BIN / "python"), "manage.py"]
    with tempfile.TemporaryDirectory() as folder:
        schema = Path(folder) / "openapi.yaml"
        steps = [
            run("format", [str(BIN / "ruff"), "format", "--check", "."]),
            run("lint", [str(BIN / "ruff"), "check", "."]),
            run("layers", [str(BIN / "lint-imports")]),
            run("types", [str(BIN / "mypy"), "."]),
            run("migrations", [*manage, "makemigrations", "--check", "--dry-run"]),
            run("API schema is valid", [*manage, "spectacular", "--validate", "--fail-on-warn", "--file", str(schema)]),
            run("API schema is the committed one (make schema)", ["diff", "-u", str(OPENAPI), str(schema)]),
            run(
                "production settings",
                [*manage, "check", "--deploy", "--fail-level", "WARNING"],
                plain_environment() | production_environment(),
            ),
        ]
        contracts = ROOT / "chain" / "contracts" / "compile.mjs"
        if contracts.exists():
            steps.append(run("contracts are what their sources compile to", ["node", str(contracts), "--check"]))
    sys.exit(0 if all(steps) else 1)


if __name__ == "__main__":
    main()
