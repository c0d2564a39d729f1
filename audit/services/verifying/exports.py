"""Checks the exports in the write-once store, and compares them with the database."""

import hashlib
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import IO

from django.core.files.storage import Storage

from audit.models import Export, Leaf
from audit.selectors import get_verifier_keys
from audit.services.exporting import get_export_storage
from audit.verification import bundles
from audit.verification.bundles import MANIFEST, BundleUnreachable, BundleUnreadable, Checked
from audit.verification.database import Claim, differing_fields
from audit.verification.report import Finding, Progress, Report, reason_of

logger = logging.getLogger(__name__)
READ_AHEAD = 5000


class StoreSource:
    """An export in the write-once store."""

    def __init__(self, store: Storage, name: str) -> None:
        self.store, self.name = store, name

    def open(self, name: str) -> IO[bytes]:
        return self.store.open(f"{self.name}/{name}", "rb")

    def names(self) -> set[str]:
        return set(self._below(""))

    def _below(self, folder: str) -> Iterator[str]:
        folders, files = self.store.listdir(f"{self.name}/{folder}".rstrip("/"))
        yield from (f"{folder}{file}" for file in files)
        for below in folders:
            yield from self._below(f"{folder}{below}/")


def check_exports(report: Report, progress: Progress) -> list[Claim]:
    """Check every export in the store, also entry by entry against the database; return the roots they claim."""
    store = get_export_storage()
    # Before the store is listed: a row is written after its files.
    # Without its time, which may be one that Python has no moment for (`infinity`).
    known = {export.name: export for export in Export.objects.defer("created_at")}
    try:
        names = set(store.listdir("")[0])
    except FileNotFoundError:
        names = set()
    except Exception as error:  # each store has errors of its own
        report.add_unchecked("exports", "the store of exports", f"cannot be read: {reason_of(error)}")
        return []
    claims: list[Claim] = []
    spans: list[tuple[int, int]] = []
    is_reached = True
    count = 0
    for name in sorted({*names, *known}):
        place = f"export {name}"
        if name not in names:
            report.add("exports", place, "is gone from the store")
            continue
        inner = Report()
        try:
            checked = check_export(store, name, known.get(name), report=inner, progress=progress)
        except BundleUnreachable as error:
            is_reached = False
            inner.add_unchecked("exports", MANIFEST, str(error))
        except BundleUnreadable as error:
            inner.add("exports", MANIFEST, str(error))
        except Exception as error:
            # Whatever one of them holds, it must not keep the others from being checked.
            is_reached = False
            logger.exception("the check of the export %s broke", name)
            inner.add_unchecked("exports", MANIFEST, f"could not be checked: {reason_of(error)}")
        else:
            if checked is None:
                continue
            manifest = checked.manifest
            spans.append((manifest.first_seq, manifest.tree_size))
            claims.append(Claim("exports", place, manifest.tree_size, manifest.root_hash))
            if checked.before:
                claims.append(Claim("exports", place, checked.before.tree_size, checked.before.root_hash))
        report.extend(
            [Finding("exports", f"{place}: {item.place}", item.message, item.is_tampering) for item in inner.findings]
        )
        count += 1
        report.counts["exports"] = count
        progress("exports", count, len(names))
    for first, last in bundles.find_gaps(spans, start=0) if is_reached else ():
        report.add("exports", f"entries {first} to {last}", "no export in the store holds them")
    return claims


def check_export(
    store: Storage, name: str, export: Export | None, *, report: Report, progress: Progress
) -> Checked | None:
    """Check one export; None for one that has no manifest yet, or half a one, and that no row names.

    It is being written, or was interrupted: its entries are in another.
    """
    source = StoreSource(store, name)
    if export is None:
        try:
            bundles.read_manifest(source)
        except BundleUnreachable:
            raise
        except BundleUnreadable:
            return None
    checked = bundles.check_bundle(
        source,
        keys=get_verifier_keys(),
        report=report,
        compare=comparing(),
        progress=lambda _, *reached: progress("exported", *reached),
    )
    if checked.signed and checked.signed.signed_at is not None:
        # One name for each checkpoint: a copy under another one is no export.
        wanted = bundles.export_name(datetime.fromtimestamp(checked.signed.signed_at, UTC), checked.signed.tree_size)
        if name != wanted:
            report.add("exports", "its name", f"is not the one of its checkpoint, {wanted}")
    if export:
        report.extend(compare_row(export, checked))
    return checked


def compare_row(export: Export, checked: Checked) -> Iterator[Finding]:
    """Compare an export with what the database remembers of it."""
    if hashlib.sha256(checked.written).digest() != bytes(export.manifest_sha256):
        yield Finding("exports", MANIFEST, "is not the one that was written")
    for name in ("first_seq", "tree_size", "root_hash"):
        here, there = getattr(export, name), getattr(checked.manifest, name)
        if (bytes(here) if name == "root_hash" else here) != there:
            yield Finding("exports", name, "in the database is not the export's")


def comparing() -> Callable[[int, bytes], Iterator[tuple[int, str]]]:
    """Make a comparison of exported entries with the database's, which reads ahead in batches."""
    ahead: dict[int, bytes] = {}
    start = end = 0

    def compare(seq: int, body: bytes) -> Iterator[tuple[int, str]]:
        nonlocal start, end
        if not start <= seq < end:
            start, end = seq, seq + READ_AHEAD
            rows = Leaf.objects.filter(seq__gte=start, seq__lt=end).values_list("seq", "body")
            ahead.clear()
            ahead.update((number, text.encode()) for number, text in rows)
        here = ahead.get(seq)
        if here is None:
            yield seq, "is in the export, but not in the database"
        elif here != body:
            yield seq, f"differs from the database's: {differing_fields(here, body)}"

    return compare
