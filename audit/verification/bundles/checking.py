"""Checks one bundle from its files to its signature."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from audit.canonical import GENESIS
from audit.merkle import Reader, perfect_root, root_hash, tile_path, tile_reader, tile_width, tiles_over
from audit.note import Checkpoint, NoteError, VerifierKey, open_checkpoint
from audit.verification.bundles.lines import blocks_of, check_lines
from audit.verification.bundles.manifest import (
    BEFORE,
    CHECKPOINT,
    ENTRIES,
    MANIFEST,
    Manifest,
    files_of,
    read_manifest,
    write_manifest,
)
from audit.verification.bundles.sources import (
    MAX_SMALL_FILE,
    BundleFile,
    BundleUnreadable,
    FileMissing,
    Source,
    list_names,
)
from audit.verification.report import Finding, Progress, Report, in_ranges, no_progress

Compare = Callable[[int, bytes], Iterator[tuple[int, str]]]
# Of so many wrong entries, no more are looked for: a file of newlines would fill the memory with what is wrong.
MAX_FOUND = 200_000
NAMED_FILES = 3


@dataclass(frozen=True, slots=True)
class Checked:
    """What a bundle says, and what of it is signed."""

    manifest: Manifest
    written: bytes  # the manifest's bytes
    signed: Checkpoint | None
    before: Checkpoint | None = None


def check_bundle(
    source: Source,
    *,
    keys: list[VerifierKey],
    report: Report,
    progress: Progress = no_progress,
    compare: Compare | None = None,
) -> Checked:
    """Check one bundle; add what is wrong to the report.

    `compare` is called with each entry's number and canonical bytes, for a caller who has them from elsewhere too.
    Raises BundleUnreadable when nothing can be said: a bundle of another log, a damaged or half one; BundleUnreachable
    when its place does not give it.
    """
    manifest, written = read_manifest(source)
    if manifest.origin not in {key.name for key in keys}:
        wanted = " or ".join(dict.fromkeys(key.name for key in keys))
        raise BundleUnreadable(f"a bundle of another log: of {manifest.origin}, not of {wanted}")
    if write_manifest(manifest) != written:
        # Another reader of JSON may take the first of two members of a name, or one that this one passes over.
        report.add("bundle", MANIFEST, "is not as an export writes it: it has other members, or in another way")
    report.extend(check_names(source, manifest))
    before = None
    signed = open_signed(source, manifest, CHECKPOINT, keys, report)
    if signed and (signed.tree_size, signed.root_hash) != (manifest.tree_size, manifest.root_hash):
        report.add("bundle", MANIFEST, "its size and root are not those of the signed checkpoint")
    if manifest.first_seq:
        before = open_signed(source, manifest, BEFORE, keys, report)
        if before and before.tree_size != manifest.first_seq:
            report.add("bundle", BEFORE, f"is of size {before.tree_size}, not {manifest.first_seq}")
            before = None
    checked = Checked(manifest, written, signed, before)

    hashes, found, damaged = read_entries(source, manifest, progress, compare)
    report.extend(damaged)
    report.extend(in_ranges("bundle", "entries", found))
    count, wanted_count = len(hashes) // 32, manifest.tree_size - manifest.first_seq
    if count != wanted_count:
        if len(found) <= MAX_FOUND:
            report.add("bundle", ENTRIES, f"holds {count} entries, not the {wanted_count} of the manifest")
        report.extend(check_tile_files(source, manifest))
        return checked
    expected = files_of(manifest.first_seq, manifest.tree_size)
    report.extend(
        named_files(sorted(set(manifest.files) - set(expected)), "is in the manifest, but not of an export's files")
    )
    report.extend(check_tree(source, checked, hashes))
    report.tree_size = max(report.tree_size, manifest.tree_size)
    report.counts["entries"] = report.counts.get("entries", 0) + count
    return checked


def check_names(source: Source, manifest: Manifest) -> Iterator[Finding]:
    """Find files that lie there without being exported; those that are missing are found when they are read."""
    others = [name for name in list_names(source) if name != MANIFEST and name not in manifest.files]
    yield from named_files(others, "is not of this export: its manifest does not list it")


def named_files(names: list[str], message: str) -> Iterator[Finding]:
    for name in names[:NAMED_FILES]:
        yield Finding("bundle", name, message)
    if rest := names[NAMED_FILES:]:
        yield Finding("bundle", f"{len(rest)} more files", message)


def read_listed(source: Source, manifest: Manifest, name: str) -> tuple[bytes | None, list[Finding]]:
    """Read a file; return what it holds, None when it is missing, and what is wrong with it."""
    if name not in manifest.files:
        return None, [Finding("bundle", name, "is missing from the manifest")]
    size = manifest.files[name][1]
    try:
        with BundleFile(source, name) as file:
            content = file.read(min(size, MAX_SMALL_FILE) + 1)
    except FileMissing:
        return None, [Finding("bundle", name, "is missing")]
    return content, list(compare_digest(manifest, name, hashlib.sha256(content).hexdigest(), len(content)))


def compare_digest(manifest: Manifest, name: str, digest: str, length: int) -> Iterator[Finding]:
    wanted, size = manifest.files[name]
    if length < size:
        yield Finding("bundle", name, f"was cut: {length} of {size} bytes")
    elif digest != wanted:
        yield Finding("bundle", name, "is not the file that was exported (its SHA-256 differs)")


def open_signed(
    source: Source, manifest: Manifest, name: str, keys: list[VerifierKey], report: Report
) -> Checkpoint | None:
    """Open a signed checkpoint; also one that is not the exported file, as what it says tells more."""
    content, found = read_listed(source, manifest, name)
    report.extend(found)
    if content is None:
        return None
    try:
        signed = open_checkpoint(content.decode("utf-8", "replace"), keys)
    except NoteError as error:
        report.add("bundle", name, str(error))
        return None
    if signed.origin != manifest.origin:
        report.add("bundle", name, f"is of the log {signed.origin}, not of {manifest.origin}")
        return None
    return signed


def read_entries(
    source: Source, manifest: Manifest, progress: Progress, compare: Compare | None
) -> tuple[bytearray, list[tuple[int, str]], list[Finding]]:
    """Read entries.jsonl once; return its leaves' hashes (32 bytes each), what is wrong by entry, and with the file.

    No more is read than the manifest says that there is: what is unpacked may have no end.
    """
    hashes = bytearray()
    found: list[tuple[int, str]] = []
    total = manifest.tree_size - manifest.first_seq
    size = manifest.files[ENTRIES][1]
    previous = GENESIS.hex() if manifest.first_seq == 0 else None
    hashed, length = hashlib.sha256(), 0

    def blocks(file: BundleFile) -> Iterator[bytes]:
        nonlocal length
        seq = manifest.first_seq
        for text in blocks_of(file):
            hashed.update(text)
            length += len(text)
            if compare:
                for body in text.removesuffix(b"\n").split(b"\n"):
                    found.extend(compare(seq, body))
                    seq += 1
            yield text
            if length > size or len(found) > MAX_FOUND:
                return

    try:
        with BundleFile(source, ENTRIES) as file:
            for block in check_lines(blocks(file), first_seq=manifest.first_seq, total=total):
                if None not in (previous, block.first_previous) and block.first_previous != previous:
                    seq = manifest.first_seq + len(hashes) // 32
                    found.append((seq, "previous: does not name the hash of the entry before it"))
                found += block.found
                hashes += block.hashes
                previous = block.last_hash
                progress("entries", len(hashes) // 32, total)
    except FileMissing:
        return bytearray(), found, [Finding("bundle", ENTRIES, "is missing")]
    found.sort(key=lambda item: item[0])
    if len(found) > MAX_FOUND:
        return hashes, found, [Finding("bundle", ENTRIES, f"more than {MAX_FOUND:,} entries are wrong; others may be")]
    return hashes, found, list(compare_digest(manifest, ENTRIES, hashed.hexdigest(), length))


def check_tile_files(source: Source, manifest: Manifest) -> Iterator[Finding]:
    """Compare the tiles with the manifest's digests, where entries are missing for more."""
    for name in manifest.files:
        if name.startswith("tile/"):
            yield from read_listed(source, manifest, name)[1]


def check_tree(source: Source, checked: Checked, hashes: bytearray) -> Iterator[Finding]:
    """Check that the entries are the tiles', and that the tiles give the signed roots, this one and the one before."""
    manifest = checked.manifest
    tiles: dict[tuple[int, int], bytes] = {}
    is_whole = True
    for level, index, width in tiles_over(manifest.first_seq, manifest.tree_size):
        name = tile_path(level, index, width)
        content, found = read_listed(source, manifest, name)
        if content is not None and not found and len(content) != 32 * width:
            found.append(Finding("bundle", name, f"holds {len(content)} bytes, not {32 * width}"))
        yield from found
        # Without it, nothing can be computed.
        is_whole = is_whole and not found
        tiles[level, index] = content or b""
    if not is_whole:
        return
    yield from compare_lowest(manifest, tiles, hashes)
    read = tile_reader(lambda level, index: tiles[level, index])
    for level, index in tiles:
        if level == 0:
            continue
        for below in range(index * 256, index * 256 + tile_width(level, index, manifest.tree_size)):
            if (level - 1, below) in tiles and read(8 * level, below) != read_perfect(tiles[level - 1, below]):
                yield Finding(
                    "bundle", tile_path(level, index), f"its hash {below % 256} is not the root of the tile below"
                )
    yield from compare_roots(checked, read)


def compare_lowest(manifest: Manifest, tiles: dict[tuple[int, int], bytes], hashes: bytearray) -> Iterator[Finding]:
    for index in range(manifest.first_seq // 256, (manifest.tree_size + 255) // 256):
        row, start = tiles[0, index], index * 256
        first = max(start, manifest.first_seq)
        stored = row[32 * (first - start) :]
        at_first = 32 * (first - manifest.first_seq)
        computed = hashes[at_first : at_first + len(stored)]
        if stored == computed:
            continue
        wrong = [first + at // 32 for at in range(0, len(stored), 32) if stored[at : at + 32] != computed[at : at + 32]]
        yield from in_ranges("bundle", "entries", [(seq, "is not the one in the tree's tile") for seq in wrong])


def read_perfect(tile: bytes) -> bytes:
    return perfect_root([tile[at : at + 32] for at in range(0, len(tile), 32)])


def compare_roots(checked: Checked, read: Reader) -> Iterator[Finding]:
    """Check that the tree has the root of its checkpoint, and continues the tree of the export before it."""
    manifest, signed, before = checked.manifest, checked.signed, checked.before
    if signed and root_hash(manifest.tree_size, read) != signed.root_hash:
        yield Finding("bundle", CHECKPOINT, "the tree does not have the root that it signs")
    if before and root_hash(before.tree_size, read) != before.root_hash:
        yield Finding("bundle", BEFORE, "the tree does not continue the one that it signs")
