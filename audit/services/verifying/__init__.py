"""Runs the verification over everything that the settings name, and keeps what it found."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
from django.db import DatabaseError, OperationalError, connection, transaction
from django.utils import timezone

from audit.models import Verification
from audit.registers import VERIFICATIONS
from audit.selectors import get_conninfo, get_verifier_keys
from audit.services.registering import record_row
from audit.services.verifying.anchors import get_anchor_contract, read_anchor_claims
from audit.services.verifying.exports import check_exports
from audit.verification.database import Claim, verify_database
from audit.verification.report import Finding, Progress, Report, no_progress, reason_of

__all__ = ["get_anchor_contract", "verify_log"]

logger = logging.getLogger(__name__)
KEPT_FINDINGS = 200


def verify_log(*, progress: Progress = no_progress, processes: int | None = None) -> Report:
    """Check entries, chain, tree, checkpoints, exports and anchors; keep the outcome and record an entry.

    Reads only what is committed, outside of a transaction; safe beside a running sequencer, export and anchoring.
    What keeps it from looking, or from keeping what it found, is in the report.
    """
    started_at = timezone.now()
    report = Report()
    try:
        connection.ensure_connection()
    except OperationalError as error:
        logger.error("the audit log cannot be verified: %s", reason_of(error))
        report.add_unchecked("database", "the database", f"cannot be reached: {reason_of(error)}")
        return report
    keys = get_verifier_keys()
    claims: list[Claim] = []
    with going_on(report, "anchors"):
        claims += read_anchor_claims(report)
    with going_on(report, "exports"):
        claims += check_exports(report, progress)
    with going_on(report, "database"):
        verify_database(get_conninfo(), keys=keys, claims=claims, report=report, progress=progress, processes=processes)
    try:
        keep(report, started_at=started_at)
    except DatabaseError as error:
        logger.error("the outcome of a verification could not be kept: %s", reason_of(error))
        report.add_unchecked("verification", "this verification", f"could not be kept: {reason_of(error)}")
    if report.exit_code:
        logger.error("the audit log is %s: %s", report.outcome, "; ".join(map(str, worst_first(report)[:5])))
    return report


def worst_first(report: Report) -> list[Finding]:
    """Put what was tampered with before what could not be checked, which could crowd it out."""
    return sorted(report.findings, key=lambda finding: not finding.is_tampering)


@transaction.atomic
def keep(report: Report, *, started_at: datetime) -> None:
    """Keep the outcome of a verification, and record its entry."""
    verification = Verification.objects.create(
        started_at=started_at,
        outcome=report.outcome,
        tree_size=report.tree_size,
        findings=[
            {"part": item.part, "place": item.place, "message": item.message, "is_tampering": item.is_tampering}
            for item in worst_first(report)[:KEPT_FINDINGS]
        ],
    )
    found = len(report.findings) + report.left_out
    record_row(VERIFICATIONS, verification, target=f"verification:{verification.pk}", found=found)


@contextmanager
def going_on(report: Report, part: str) -> Iterator[None]:
    """Let what breaks one part of the verification, be it the part's own content, take nothing from the others."""
    try:
        yield
    except Exception as error:
        # A database that went away needs no trace to be understood.
        is_away = isinstance(error, (OperationalError, psycopg.OperationalError))
        logger.error("a part of the verification broke: %s", part, exc_info=not is_away)
        report.add_unchecked(part, f"the {part}", f"could not be checked to the end: {reason_of(error)}")
