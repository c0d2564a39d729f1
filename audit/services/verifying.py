"""Runs the verification over everything that the settings name, and keeps what it found."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import psycopg
from django.conf import settings
from django.core.files.storage import Storage
from django.db import transaction
from django.utils import timezone

from audit.models import Anchor, Export, Leaf, Verification
from audit.selectors import get_conninfo, get_verifier_keys
from audit.services.exporting import get_export_storage
from audit.services.recording import record
from audit.verification import anchors, bundles
from audit.verification.bundles import BundleUnreadable
from audit.verification.database import Claim, differing_fields, verify_database
from audit.verification.report import Finding, Progress, Report, no_progress

logger = logging.getLogger(__name__)
KEPT_FINDINGS = 200


def verify_log(*, progress: Progress = no_progress, processes: int | None = None) -> tuple[Verification, Report]:
    """Check entries, chain, tree, checkpoints, exports and anchors; keep the outcome and record an entry.

    Reads only what is committed, outside of a transaction; safe beside a running sequencer.
    """
    started_at = timezone.now()
    report = Report()
    keys = get_verifier_keys()
    try:
        claims = [*read_anchor_claims(report), *check_exports(report, progress)]
        verify_database(get_conninfo(), keys=keys, claims=claims, report=report, progress=progress, processes=processes)
    except psycopg.OperationalError as error:
        report.add_unchecked("database", "the database", f"cannot be read: {str(error).strip()}")
    findings = [
        {"part": item.part, "place": item.place, "message": item.message, "is_tampering": item.is_tampering}
        for item in report.findings[:KEPT_FINDINGS]
    ]
    with transaction.atomic():
        verification = Verification.objects.create(
            started_at=started_at, outcome=report.outcome, tree_size=report.tree_size, findings=findings
        )
        record(
            action="audit.log.verified",
            target=f"verification:{verification.pk}",
            data={"outcome": report.outcome, "tree_size": report.tree_size, "findings": len(report.findings)},
        )
    if report.exit_code:
        logger.error("the audit log is %s: %s", report.outcome, "; ".join(map(str, report.findings[:5])))
    return verification, report


def get_anchor_contract() -> tuple[str, str] | None:
    """Return the node's URL and the AuditAnchor contract's address, when both are configured."""
    contract = settings.AUDIT_ANCHOR_CONTRACT
    file = Path(settings.CHAIN_DEPLOYMENT_FILE or "")
    if not contract and file.is_file():
        contract = json.loads(file.read_text()).get("AuditAnchor", "")
    urls = settings.CHAIN_RPC_URLS
    return (urls[0], contract) if contract and urls else None


def read_anchor_claims(report: Report) -> list[Claim]:
    """Read the anchored roots from the chain; those that we know of and the chain does not have are findings."""
    known = list(Anchor.objects.order_by("tree_size"))
    place = get_anchor_contract()
    if place is None:
        if known:
            report.add_unchecked("anchors", "anchors", f"{len(known)} are known, but no contract is configured")
        return []
    url, contract = place
    try:
        claims = anchors.read_anchors(url=url, contract=contract)
    except anchors.AnchorsUnreadable as error:
        report.add_unchecked("anchors", "anchors", str(error))
        return []
    report.counts["anchors"] = len(claims)
    on_chain = {(claim.tree_size, claim.root_hash) for claim in claims}
    for anchor in known:
        if anchor.contract.lower() != contract.lower():
            continue
        if (anchor.tree_size, bytes(anchor.root_hash)) not in on_chain:
            report.add(
                "anchors", f"anchor of size {anchor.tree_size}", "the chain does not have it as it is stored here"
            )
    return claims


class StoreSource:
    """An export in the write-once store."""

    def __init__(self, store: Storage, name: str) -> None:
        self.store, self.name = store, name

    def open(self, name: str) -> IO[bytes]:
        return self.store.open(f"{self.name}/{name}", "rb")


def check_exports(report: Report, progress: Progress) -> list[Claim]:
    """Check every export in the store, also entry by entry against the database; return the roots they claim."""
    store = get_export_storage()
    known = {export.name: export for export in Export.objects.all()}
    try:
        names = sorted(store.listdir("")[0])
    except FileNotFoundError:
        names = []
    except Exception as error:  # each store has errors of its own
        report.add_unchecked("exports", "the store of exports", f"cannot be read: {type(error).__name__}: {error}")
        return []
    claims: list[Claim] = []
    keys = get_verifier_keys()
    reached = 0
    for name in sorted({*names, *known}):
        place = f"export {name}"
        if name not in names:
            report.add("exports", place, "is gone from the store")
            continue
        source = StoreSource(store, name)
        if name not in known and not store.exists(f"{name}/manifest.json"):
            continue  # Interrupted before its end; the next run writes it again.
        inner = Report()
        try:
            manifest = bundles.check_bundle(
                source,
                keys=keys,
                report=inner,
                compare=comparing(),
                progress=lambda _, *reached: progress("exported", *reached),
            )
        except BundleUnreadable as error:
            inner.add("bundle", "manifest.json", str(error))
        else:
            claims.append(Claim("exports", place, manifest.tree_size, manifest.root_hash))
            if manifest.first_seq > reached:
                report.add(
                    "exports", f"entries {reached} to {manifest.first_seq - 1}", "no export in the store holds them"
                )
            reached = max(reached, manifest.tree_size)
            if export := known.get(name):
                inner.extend(list(compare_row(export, manifest, source)))
        report.extend(
            [Finding("exports", f"{place}: {item.place}", item.message, item.is_tampering) for item in inner.findings]
        )
        report.counts["exports"] = report.counts.get("exports", 0) + 1
        progress("exports", report.counts["exports"], len(names))
    return claims


def compare_row(export: Export, manifest: bundles.Manifest, source: StoreSource) -> Iterator[Finding]:
    """Compare an export with what the database remembers of it."""
    digest = hashlib.sha256(bundles.read_small(source, "manifest.json", bundles.MAX_MANIFEST)).digest()
    if digest != bytes(export.manifest_sha256):
        yield Finding("exports", "manifest.json", "is not the one that was written")
    for name in ("first_seq", "tree_size", "root_hash"):
        here, there = getattr(export, name), getattr(manifest, name)
        if (bytes(here) if name == "root_hash" else here) != there:
            yield Finding("exports", name, "in the database is not the export's")


def comparing() -> Callable[[int, bytes], Iterator[tuple[int, str]]]:
    """Make a comparison of exported entries with the database's, which reads ahead in batches."""
    ahead: dict[int, bytes] = {}

    def compare(seq: int, body: bytes) -> Iterator[tuple[int, str]]:
        if seq not in ahead:
            ahead.clear()
            rows = Leaf.objects.filter(seq__gte=seq, seq__lt=seq + 5000).values_list("seq", "body")
            ahead.update((number, text.encode()) for number, text in rows)
        here = ahead.get(seq)
        if here is None:
            yield seq, "is in the export, but not in the database"
            ahead[seq] = b""
        elif here and here != body:
            yield seq, f"differs from the database's: {differing_fields(here, body)}"

    return compare
