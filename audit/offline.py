"""Checks an export of the audit log with its public key alone: no database, no Django, no settings.

`python -m audit.offline BUNDLE --key KEY`; `manage.py verify_audit --bundle BUNDLE` comes here too.
"""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from audit.note import NoteError, VerifierKey
from audit.verification.bundles import verify_path
from audit.verification.report import Report, reason_of
from audit.verification.screen import print_report, progress_bar

NO_KEY = (
    "give the log's public key by --key or AUDIT_VERIFIER_KEYS: without it, a forged bundle looks as good as a true "
    "one. Its operator publishes it at /audit/key; compare that with a copy that you trust."
)


def verify_bundle(path: Path, *, keys: Sequence[str], as_json: bool = False) -> int:
    """Check a bundle, print what is found, and return the exit code: 0 whole, 1 tampered, 2 could not check."""
    started = time.monotonic()
    report = Report()
    try:
        parsed = [VerifierKey.parse(key) for text in keys for key in text.replace(",", " ").split()]
    except NoteError as error:
        report.add_unchecked("bundle", "--key", str(error))
        parsed = []
    else:
        if not parsed:
            report.add_unchecked("bundle", "--key", NO_KEY)
    if parsed:
        try:
            with progress_bar() as progress:
                report = verify_path(path, keys=parsed, progress=progress)
        except Exception as error:  # left to itself, it would exit with 1 and so call itself tampering
            report.add_unchecked("bundle", str(path), f"could not be checked: {reason_of(error)}")
    print_report(report, started=started, as_json=as_json)
    return report.exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from a command line."""
    parser = argparse.ArgumentParser(prog="verify_audit", description=__doc__)
    parser.add_argument("path", nargs="?", type=Path, help="an export: a folder, a folder of them, or a zip file")
    parser.add_argument("--bundle", type=Path, help="the same")
    parser.add_argument("--key", action="append", default=[], help="the log's public key, <origin>+<hash>+<base64>")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    options = parser.parse_args(arguments)
    path = options.bundle or options.path
    if path is None:
        parser.error("name a bundle")
    keys = options.key or [os.environ.get("AUDIT_VERIFIER_KEYS", "")]
    return verify_bundle(path, keys=keys, as_json=options.json)


if __name__ == "__main__":
    sys.exit(main())
