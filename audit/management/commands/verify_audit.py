"""Verifies the audit log."""

import logging
import os
import time
from pathlib import Path
from typing import Annotated

import typer
from django_typer.management import TyperCommand

from audit.context import auditing
from audit.offline import verify_bundle
from audit.services import verify_log
from audit.verification.report import Report, reason_of
from audit.verification.screen import print_report, progress_bar

logger = logging.getLogger(__name__)


class Command(TyperCommand):
    help = """
    Verify the audit log: entries, chain, tree, checkpoints, exports and on-chain anchors.

    Exit codes: 0 the log is whole, 1 it was tampered with, 2 it could not be checked.
    """

    def handle(
        self,
        bundle: Annotated[
            Path | None, typer.Option(help="An export to check offline: a folder, a folder of them, or a zip file.")
        ] = None,
        key: Annotated[list[str] | None, typer.Option(help="The log's public key, for --bundle.")] = None,
        processes: Annotated[int | None, typer.Option(help="How many processes share the work.", min=1)] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
    ) -> None:
        if bundle:
            keys = key or [os.environ.get("AUDIT_VERIFIER_KEYS", "")]
            raise typer.Exit(verify_bundle(bundle, keys=keys, as_json=as_json))
        started = time.monotonic()
        with progress_bar() as progress:
            try:
                with auditing(actor="command:verify_audit"):
                    report = verify_log(progress=progress, processes=processes)
            except Exception as error:  # left to itself, it would exit with 1 and so call itself tampering
                logger.error("the verification could not be finished", exc_info=True)
                report = Report()
                report.add_unchecked("verification", "the verification", f"could not be finished: {reason_of(error)}")
        print_report(report, started=started, as_json=as_json)
        raise typer.Exit(report.exit_code)
