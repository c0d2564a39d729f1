"""Runs the verification over everything that the settings name, and keeps what it found."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import transaction
from django.utils import timezone

from audit.models import Verification
from audit.registers import VERIFICATIONS
from audit.selectors import get_conninfo, get_verifier_keys
from audit.services.registering import record_row
from audit.services.verifying.anchors import get_anchor_contract, read_anchor_claims
from audit.services.verifying.exports import check_exports
from audit.verification.database import Claim, verify_database
from audit.verification.report import Progress, Report, no_progress

__all__ = ["get_anchor_contract", "verify_log"]

logger = logging.getLogger(__name__)
KEPT_FINDINGS = 200


@contextmanager
def going_on(report: Report, part: str) -> Iterator[None]:
    """Let what breaks one part of the verification, be it the part's own content, take nothing from the others."""
    try:
        yield
    except Exception as error:
        logger.exception("a part of the verification broke: %s", part)
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        report.add_unchecked(part, f"the {part}", f"could not be checked to the end: {reason}")


def verify_log(*, progress: Progress = no_progress, processes: int | None = None) -> tuple[Verification, Report]:
    """Check entries, chain, tree, checkpoints, exports and anchors; keep the outcome and record an entry.

    Reads only what is committed, outside of a transaction; safe beside a running sequencer, export and anchoring.
    """
    started_at = timezone.now()
    report = Report()
    keys = get_verifier_keys()
    claims: list[Claim] = []
    with going_on(report, "anchors"):
        claims += read_anchor_claims(report)
    with going_on(report, "exports"):
        claims += check_exports(report, progress)
    with going_on(report, "database"):
        verify_database(get_conninfo(), keys=keys, claims=claims, report=report, progress=progress, processes=processes)
    # What was tampered with goes before what could not be checked, or could be crowded out.
    kept = sorted(report.findings, key=lambda finding: not finding.is_tampering)[:KEPT_FINDINGS]
    with transaction.atomic():
        verification = Verification.objects.create(
            started_at=started_at,
            outcome=report.outcome,
            tree_size=report.tree_size,
            findings=[
                {"part": item.part, "place": item.place, "message": item.message, "is_tampering": item.is_tampering}
                for item in kept
            ],
        )
        found = len(report.findings) + report.left_out
        record_row(VERIFICATIONS, verification, target=f"verification:{verification.pk}", found=found)
    if report.exit_code:
        logger.error("the audit log is %s: %s", report.outcome, "; ".join(map(str, kept[:5])))
    return verification, report
