"""Checks exports (a folder, a zip file, or a folder of exports) with nothing but the log's public key."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from audit.note import VerifierKey
from audit.verification.bundles.checking import Checked, check_bundle
from audit.verification.bundles.manifest import MANIFEST, Manifest, export_name, read_manifest, write_manifest
from audit.verification.bundles.sources import BundleUnreachable, BundleUnreadable, sources_of
from audit.verification.report import Finding, Progress, Report, no_progress

__all__ = [
    "MANIFEST",
    "BundleUnreachable",
    "BundleUnreadable",
    "Checked",
    "Manifest",
    "check_bundle",
    "export_name",
    "find_gaps",
    "read_manifest",
    "verify_path",
    "write_manifest",
]


def verify_path(path: Path, *, keys: list[VerifierKey], progress: Progress = no_progress) -> Report:
    """Check the bundle or bundles at a path."""
    report = Report()
    try:
        sources = sources_of(path)
    except BundleUnreadable as error:
        report.add_unchecked("bundle", str(path), str(error))
        return report
    whole: dict[str, Checked] = {}
    for name, source in sources:
        inner = Report()
        try:
            whole[name] = check_bundle(source, keys=keys, report=inner, progress=progress)
        except BundleUnreadable as error:
            inner.add_unchecked("bundle", str(path), str(error))
        prefix = f"{name}: " if len(sources) > 1 else ""
        report.extend(
            [Finding(item.part, prefix + item.place, item.message, item.is_tampering) for item in inner.findings]
        )
        report.tree_size = max(report.tree_size, inner.tree_size)
        report.counts["entries"] = report.counts.get("entries", 0) + inner.counts.get("entries", 0)
    spans = [(checked.manifest.first_seq, checked.manifest.tree_size) for checked in whole.values()]
    for first, last in find_gaps(spans, start=min((first for first, _ in spans), default=0)):
        report.add("bundle", f"entries {first} to {last}", "no export here holds them")
    report.extend(find_forks(whole))
    return report


def find_gaps(spans: Iterable[tuple[int, int]], *, start: int) -> Iterator[tuple[int, int]]:
    """Find the first and last entry of each gap between spans of entries (start, end)."""
    reached = start
    for first, end in sorted(spans):
        if first > reached:
            yield reached, first - 1
        reached = max(reached, end)


def find_forks(exports: dict[str, Checked]) -> Iterator[Finding]:
    """Find sizes for which two exports hold different signed roots: each is whole, but not of one log."""
    known: dict[int, tuple[bytes, str]] = {}
    for name, checked in exports.items():
        for signed in (checked.before, checked.signed):
            if signed is None:
                continue
            root, first = known.setdefault(signed.tree_size, (signed.root_hash, name))
            if root != signed.root_hash:
                message = f"the log was signed with another root at {signed.tree_size} entries than in {first}"
                yield Finding("bundle", name, message)
