"""Checks an export (a folder, a zip file, or a folder of exports) with nothing but the log's public key."""

import hashlib
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import orjson

from audit.canonical import GENESIS
from audit.merkle import perfect_root, root_hash, tile_path, tile_reader, tile_width, tiles_over
from audit.note import NoteError, VerifierKey, open_checkpoint
from audit.verification.lines import blocks_of, check_lines
from audit.verification.report import Finding, Progress, Report, in_ranges, no_progress

FORMAT = "psephos-audit-export/1"
ENTRIES = "entries.jsonl"
MAX_SMALL_FILE = 1 << 20
MAX_MANIFEST = 64 << 20
# The names that an export's files have: a manifest cannot point anywhere else.
FILE_NAME = re.compile(
    r"entries\.jsonl|checkpoint|checkpoint\.previous|tile/[0-7]/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[0-9]{1,3})?"
)


class BundleUnreadable(Exception):
    """Not a bundle, half a bundle, or one of another log: nothing can be said about its entries."""


class Source(Protocol):
    """Where a bundle's files are read from."""

    def open(self, name: str) -> IO[bytes]: ...


class FolderSource:
    """A bundle as a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, name: str) -> IO[bytes]:
        return (self.folder / name).open("rb")


class ZipSource:
    """A bundle as a zip file."""

    def __init__(self, file: Path) -> None:
        self.zip = zipfile.ZipFile(file)

    def open(self, name: str) -> IO[bytes]:
        return self.zip.open(name)


def sources_of(path: Path) -> list[tuple[str, Source]]:
    """Find the bundles at a path, oldest first; raise BundleUnreadable when there are none."""
    if path.is_dir():
        if (path / "manifest.json").exists():
            return [(path.name, FolderSource(path))]
        found = sorted(file.parent for file in path.glob("*/manifest.json"))
        if not found:
            raise BundleUnreadable(f"{path}: there is no manifest.json, nor a folder with one")
        return [(folder.name, FolderSource(folder)) for folder in found]
    if not path.exists():
        raise BundleUnreadable(f"{path}: there is no such file")
    try:
        return [(path.name, ZipSource(path))]
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise BundleUnreadable(f"{path}: not a whole zip file ({error})") from error


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export says that it holds."""

    origin: str
    first_seq: int
    tree_size: int
    root_hash: bytes
    files: dict[str, tuple[str, int]]  # name → SHA-256 in hexadecimal, bytes


def read_small(source: Source, name: str, limit: int = MAX_SMALL_FILE) -> bytes:
    try:
        with source.open(name) as file:
            content = file.read(limit + 1)
    except (OSError, KeyError, zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise BundleUnreadable(f"{name} cannot be read: {error}") from error
    except Exception as error:  # zlib.error of a damaged zip, a bucket's own errors
        raise BundleUnreadable(f"{name} cannot be read: {error}") from error
    if len(content) > limit:
        raise BundleUnreadable(f"{name} is larger than any bundle's")
    return content


def read_manifest(source: Source) -> Manifest:
    """Read and check the manifest's shape."""
    try:
        content = orjson.loads(read_small(source, "manifest.json", MAX_MANIFEST))
        if content["format"] != FORMAT:
            raise BundleUnreadable(f"manifest.json: its format is {content['format']!r}, not {FORMAT!r}")
        files = {str(name): (str(file["sha256"]), _count(file["bytes"])) for name, file in content["files"].items()}
        manifest = Manifest(
            str(content["origin"]),
            _count(content["first_seq"]),
            _count(content["tree_size"]),
            bytes.fromhex(content["root_hash"]),
            files,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleUnreadable(
            f"manifest.json is not an export's manifest ({type(error).__name__}: {error})"
        ) from error
    if odd := [name for name in manifest.files if not FILE_NAME.fullmatch(name)]:
        raise BundleUnreadable(f"manifest.json lists {odd[0]!r}, which no export has")
    if not manifest.first_seq < manifest.tree_size or len(manifest.root_hash) != 32:
        raise BundleUnreadable("manifest.json names no range of entries and no root")
    return manifest


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is not a count")
    return value


def check_files(source: Source, manifest: Manifest) -> Iterator[Finding]:
    """Compare each file but the entries, which are read later, with the manifest's digest."""
    for name in manifest.files:
        if name == ENTRIES:
            continue
        hashed, length = hashlib.sha256(), 0
        try:
            with source.open(name) as file:
                while block := file.read(1 << 20):
                    hashed.update(block)
                    length += len(block)
        except KeyError:
            yield Finding("bundle", name, "is missing")
            continue
        except FileNotFoundError:
            yield Finding("bundle", name, "is missing")
            continue
        except Exception as error:  # a damaged zip has many ways to fail
            raise BundleUnreadable(f"{name} cannot be read: {error}") from error
        yield from compare_digest(manifest, name, hashed.hexdigest(), length)


def compare_digest(manifest: Manifest, name: str, digest: str, length: int) -> Iterator[Finding]:
    wanted, size = manifest.files[name]
    if length < size:
        yield Finding("bundle", name, f"was cut: {length} of {size} bytes")
    elif digest != wanted:
        yield Finding("bundle", name, "is not the file that was exported (its SHA-256 differs)")


def check_bundle(
    source: Source,
    *,
    keys: list[VerifierKey],
    report: Report,
    progress: Progress = no_progress,
    compare: Callable[[int, bytes], Iterator[tuple[int, str]]] | None = None,
) -> Manifest:
    """Check one bundle from its files to its signature; add what is wrong to the report.

    `compare` is called with each entry's number and canonical bytes, for a caller who has them from elsewhere too.
    Raises BundleUnreadable when nothing can be said: a bundle of another log, a damaged or half one.
    """
    manifest = read_manifest(source)
    if manifest.origin not in {key.name for key in keys}:
        wanted = " or ".join(dict.fromkeys(key.name for key in keys))
        raise BundleUnreadable(f"a bundle of another log: of {manifest.origin}, not of {wanted}")
    damaged = list(check_files(source, manifest))
    report.extend(damaged)
    names = {finding.place for finding in damaged}
    for name in (ENTRIES, "checkpoint"):
        if name not in manifest.files:
            raise BundleUnreadable(f"manifest.json does not list {name}")

    hashes, found, damaged = read_entries(source, manifest, progress, compare)
    report.extend(damaged)
    report.extend(in_ranges("bundle", "entries", found))
    signed = None
    try:
        signed = open_checkpoint(read_small(source, "checkpoint").decode("utf-8", "replace"), keys)
    except NoteError as error:
        report.add("bundle", "checkpoint", str(error))
    if signed and (signed.tree_size, signed.root_hash) != (manifest.tree_size, manifest.root_hash):
        report.add("bundle", "manifest.json", "its size and root are not those of the signed checkpoint")
    count = len(hashes) // 32
    if count != manifest.tree_size - manifest.first_seq:
        report.add(
            "bundle",
            ENTRIES,
            f"holds {count} entries, not the {manifest.tree_size - manifest.first_seq} of the manifest",
        )
        return manifest
    report.extend(list(check_tree(source, manifest, hashes, keys, signed.root_hash if signed else None, names)))
    report.tree_size = max(report.tree_size, manifest.tree_size)
    report.counts["entries"] = report.counts.get("entries", 0) + count
    return manifest


def read_entries(
    source: Source,
    manifest: Manifest,
    progress: Progress,
    compare: Callable[[int, bytes], Iterator[tuple[int, str]]] | None,
) -> tuple[bytearray, list[tuple[int, str]], list[Finding]]:
    """Read entries.jsonl once; return its leaves' hashes (32 bytes each), what is wrong by entry, and with the file."""
    hashes = bytearray()
    found: list[tuple[int, str]] = []
    total = manifest.tree_size - manifest.first_seq
    previous = GENESIS.hex() if manifest.first_seq == 0 else None
    hashed, length = hashlib.sha256(), 0

    def blocks(file: IO[bytes]) -> Iterator[bytes]:
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

    try:
        with source.open(ENTRIES) as file:
            for block in check_lines(blocks(file), first_seq=manifest.first_seq, total=total):
                if None not in (previous, block.first_previous) and block.first_previous != previous:
                    seq = manifest.first_seq + len(hashes) // 32
                    found.append((seq, "previous: does not name the hash of the entry before it"))
                found += block.found
                hashes += block.hashes
                previous = block.last_hash
                progress("entries", len(hashes) // 32, total)
    except (KeyError, FileNotFoundError):
        return bytearray(), found, [Finding("bundle", ENTRIES, "is missing")]
    except Exception as error:  # a damaged zip has many ways to fail
        raise BundleUnreadable(f"{ENTRIES} cannot be read: {error}") from error
    found.sort(key=lambda item: item[0])
    return hashes, found, list(compare_digest(manifest, ENTRIES, hashed.hexdigest(), length))


def check_tree(
    source: Source,
    manifest: Manifest,
    hashes: bytearray,
    keys: list[VerifierKey],
    signed_root: bytes | None,
    damaged: set[str],
) -> Iterator[Finding]:
    """Check that the entries are the tiles', and that the tiles give the signed roots, this one and the one before."""
    tiles: dict[tuple[int, int], bytes] = {}
    for level, index, width in tiles_over(manifest.first_seq, manifest.tree_size):
        name = tile_path(level, index, width)
        if name not in manifest.files:
            yield Finding("bundle", name, "is missing from the manifest")
            return
        if name in damaged:
            # Named already; without it, nothing can be computed.
            return
        content = read_small(source, name)
        if len(content) != 32 * width:
            yield Finding("bundle", name, f"holds {len(content)} bytes, not {32 * width}")
            return
        tiles[level, index] = content
    first_tile = manifest.first_seq // 256
    for index in range(first_tile, (manifest.tree_size + 255) // 256):
        row, start = tiles[0, index], index * 256
        first = max(start, manifest.first_seq)
        stored = row[32 * (first - start) :]
        at_first = 32 * (first - manifest.first_seq)
        computed = hashes[at_first : at_first + len(stored)]
        if stored == computed:
            continue
        wrong = [first + at // 32 for at in range(0, len(stored), 32) if stored[at : at + 32] != computed[at : at + 32]]
        yield from in_ranges("bundle", "entries", [(seq, "is not the one in the tree's tile") for seq in wrong])
    read = tile_reader(lambda level, index: tiles[level, index])
    for level, index in tiles:
        if level == 0:
            continue
        for below in range(index * 256, index * 256 + tile_width(level, index, manifest.tree_size)):
            if (level - 1, below) in tiles and read(8 * level, below) != read_perfect(tiles[level - 1, below]):
                yield Finding(
                    "bundle", tile_path(level, index), f"its hash {below % 256} is not the root of the tile below"
                )
    if signed_root is not None and root_hash(manifest.tree_size, read) != signed_root:
        yield Finding("bundle", "checkpoint", "the tree does not have the root that it signs")
    if manifest.first_seq:
        yield from check_before(source, manifest, keys, read)


def read_perfect(tile: bytes) -> bytes:
    return perfect_root([tile[at : at + 32] for at in range(0, len(tile), 32)])


def check_before(source: Source, manifest: Manifest, keys: list[VerifierKey], read: Any) -> Iterator[Finding]:
    """Check that this export's tree continues the one of the export before it."""
    if "checkpoint.previous" not in manifest.files:
        yield Finding("bundle", "checkpoint.previous", "is missing from the manifest")
        return
    try:
        before = open_checkpoint(read_small(source, "checkpoint.previous").decode("utf-8", "replace"), keys)
    except NoteError as error:
        yield Finding("bundle", "checkpoint.previous", str(error))
        return
    if before.tree_size != manifest.first_seq:
        yield Finding("bundle", "checkpoint.previous", f"is of size {before.tree_size}, not {manifest.first_seq}")
    elif root_hash(before.tree_size, read) != before.root_hash:
        yield Finding("bundle", "checkpoint.previous", "the tree does not continue the one that it signs")


def verify_path(path: Path, *, keys: list[VerifierKey], progress: Progress = no_progress) -> Report:
    """Check the bundle or bundles at a path."""
    report = Report()
    try:
        sources = sources_of(path)
    except BundleUnreadable as error:
        report.add_unchecked("bundle", str(path), str(error))
        return report
    reached: tuple[int, bytes] | None = None
    for name, source in sources:
        inner = Report()
        try:
            manifest = check_bundle(source, keys=keys, report=inner, progress=progress)
        except BundleUnreadable as error:
            inner.add_unchecked("bundle", str(path), str(error))
        else:
            if reached and manifest.first_seq > reached[0]:
                inner.add("bundle", f"entries {reached[0]} to {manifest.first_seq - 1}", "no export here holds them")
            reached = (manifest.tree_size, manifest.root_hash)
        prefix = f"{name}: " if len(sources) > 1 else ""
        report.extend(
            [Finding(item.part, prefix + item.place, item.message, item.is_tampering) for item in inner.findings]
        )
        report.tree_size = max(report.tree_size, inner.tree_size)
        report.counts["entries"] = report.counts.get("entries", 0) + inner.counts.get("entries", 0)
    return report


def write_manifest(manifest: Manifest) -> bytes:
    """Write a manifest out."""
    content = {
        "format": FORMAT,
        "origin": manifest.origin,
        "first_seq": manifest.first_seq,
        "tree_size": manifest.tree_size,
        "root_hash": manifest.root_hash.hex(),
        "files": {name: {"sha256": digest, "bytes": size} for name, (digest, size) in sorted(manifest.files.items())},
    }
    return json.dumps(content, indent=1).encode() + b"\n"
