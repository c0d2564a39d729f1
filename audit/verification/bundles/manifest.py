"""An export's manifest: what it says that it holds."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from audit.merkle import tile_path, tiles_over
from audit.verification.bundles.sources import BundleUnreadable, Source, read_small

FORMAT = "psephos-audit-export/1"
MANIFEST = "manifest.json"
ENTRIES = "entries.jsonl"
CHECKPOINT = "checkpoint"
BEFORE = "checkpoint.previous"
MAX_MANIFEST = 64 << 20
# The names that an export's files have: a manifest cannot point anywhere else.
FILE_NAME = re.compile(
    r"entries\.jsonl|checkpoint|checkpoint\.previous|tile/[0-7]/(?:x[0-9]{3}/)*[0-9]{3}(?:\.p/[0-9]{1,3})?"
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export says that it holds."""

    origin: str
    first_seq: int
    tree_size: int
    root_hash: bytes
    files: dict[str, tuple[str, int]]  # name → SHA-256 in hexadecimal, bytes


def export_name(signed_at: datetime, tree_size: int) -> str:
    """Name an export after its checkpoint: each has one name."""
    return f"{signed_at:%Y-%m-%d}-{tree_size:012d}"


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


def read_manifest(source: Source) -> tuple[Manifest, bytes]:
    """Read and check the manifest's shape; return it with its bytes."""
    written = read_small(source, MANIFEST, MAX_MANIFEST)
    try:
        content = orjson.loads(written)
        if content["format"] != FORMAT:
            raise BundleUnreadable(f"{MANIFEST}: its format is {content['format']!r}, not {FORMAT!r}")
        files = {str(name): (str(file["sha256"]), _count(file["bytes"])) for name, file in content["files"].items()}
        manifest = Manifest(
            str(content["origin"]),
            _count(content["first_seq"]),
            _count(content["tree_size"]),
            bytes.fromhex(content["root_hash"]),
            files,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleUnreadable(f"{MANIFEST} is not an export's manifest ({type(error).__name__}: {error})") from error
    if odd := [name for name in manifest.files if not FILE_NAME.fullmatch(name)]:
        raise BundleUnreadable(f"{MANIFEST} lists {odd[0]!r}, which no export has")
    if not manifest.first_seq < manifest.tree_size or len(manifest.root_hash) != 32:
        raise BundleUnreadable(f"{MANIFEST} names no range of entries and no root")
    for name in (ENTRIES, CHECKPOINT):
        if name not in manifest.files:
            raise BundleUnreadable(f"{MANIFEST} does not list {name}")
    return manifest, written


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is not a count")
    return value


def files_of(first_seq: int, tree_size: int) -> list[str]:
    """List the files that an export of these entries has."""
    tiles = [tile_path(level, index, width) for level, index, width in tiles_over(first_seq, tree_size)]
    return [CHECKPOINT, *([BEFORE] if first_seq else []), ENTRIES, *tiles]
