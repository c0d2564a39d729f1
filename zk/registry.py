"""The circuits that are served, their versions and files, as the manifest names them.

`zk/artifacts/manifest.json` is committed; an operator's own (`ZK_EXTRA_ARTIFACTS`, with keys from a real ceremony)
adds versions to it. The highest version is the one that new proofs use; older ones keep serving by `?version=`.
"""

import hashlib
import json
import lzma
import os
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

from zk.exceptions import ArtifactAltered, ArtifactMissing, CircuitUnknown, DevelopmentKeysRefused
from zk.prover.base import ProofFiles

FILE_KINDS = ("wasm", "zkey", "vkey")
COMMITTED = Path(__file__).resolve().parent / "artifacts"
DOWNLOAD_NAMES = {
    "wasm": "circuit.wasm",
    "zkey": "circuit.zkey",
    "vkey": "verification_key.json",
    # For those who check a key (`snarkjs zkey verify`); no prover needs it.
    "r1cs": "circuit.r1cs",
}


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file: where it is kept (perhaps packed with xz) and the hash of its content."""

    source: str
    folder: Path
    sha256: str
    size_bytes: int

    @property
    def stored_path(self) -> Path:
        """Where the file was installed: in the artifacts' folder, or in node_modules."""
        if self.source.startswith("npm:"):
            return Path(settings.ZK_NODE_MODULES) / self.source.removeprefix("npm:")
        return self.folder / self.source


@dataclass(frozen=True, slots=True)
class CircuitVersion:
    """One version of a circuit with all that its users need to know."""

    name: str
    version: int
    is_development: bool
    n_constraints: int
    public_signals: tuple[str, ...]
    artifacts: dict[str, Artifact]
    origin: str
    r1cs_sha256: str

    @property
    def label(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def is_available(self) -> bool:
        """Whether its keys may be used here: development keys prove nothing to anyone who knows their maker."""
        return not self.is_development or bool(settings.ZK_ALLOW_DEVELOPMENT_KEYS)

    def path(self, kind: str) -> Path:
        """Return where a file lies unpacked, unpacking it first if need be."""
        return unpack(self.artifacts[kind])

    def files(self, *, for_proving: bool) -> ProofFiles:
        """Return what the prover needs, which checks each hash when it loads; for verifying, nothing is unpacked."""
        entries = {}
        for kind in FILE_KINDS:
            artifact = self.artifacts[kind]
            path = unpack(artifact) if for_proving else working_path(artifact)
            entries[kind] = {"path": str(path), "sha256": artifact.sha256}
        return ProofFiles(name=self.label, n_public=len(self.public_signals), **entries)


def working_path(artifact: Artifact) -> Path:
    """Return where a file lies once it is unpacked: packed ones in the working folder, under their hash."""
    stored = artifact.stored_path
    if stored.suffix != ".xz":
        return stored
    return Path(settings.ZK_WORK_DIR) / f"{artifact.sha256}-{stored.stem}"


def unpack(artifact: Artifact) -> Path:
    """Make sure that a file lies unpacked, and return where; raise ArtifactMissing or ArtifactAltered."""
    stored, target = artifact.stored_path, working_path(artifact)
    if target.exists():
        return target
    if not stored.exists():
        raise ArtifactMissing
    content = lzma.decompress(stored.read_bytes())
    if hashlib.sha256(content).hexdigest() != artifact.sha256:
        raise ArtifactAltered
    # Renamed into place, so that a reader never sees half of it.
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    Path(name).chmod(0o644)
    Path(name).rename(target)
    return target


def read_manifest(folder: Path) -> dict[str, dict[int, CircuitVersion]]:
    """Read a folder's manifest into circuits by name and version."""
    content = json.loads((folder / "manifest.json").read_text())
    return {
        name: {int(version): _parse(name, int(version), entry, folder) for version, entry in versions.items()}
        for name, versions in content["circuits"].items()
    }


def _parse(name: str, version: int, entry: dict[str, Any], folder: Path) -> CircuitVersion:
    artifacts = {
        kind: Artifact(file["source"], folder, file["sha256"], file["size_bytes"])
        for kind, file in entry["files"].items()
    }
    return CircuitVersion(
        name=name,
        version=version,
        is_development=entry["is_development"],
        n_constraints=entry["n_constraints"],
        public_signals=tuple(entry["public_signals"]),
        artifacts=artifacts,
        origin=entry["origin"],
        r1cs_sha256=entry.get("r1cs_sha256", ""),
    )


@cache
def _load(extra: str) -> dict[str, dict[int, CircuitVersion]]:
    circuits = read_manifest(COMMITTED)
    if extra:
        for name, versions in read_manifest(Path(extra)).items():
            circuits.setdefault(name, {}).update(versions)
    return circuits


def all_circuits() -> dict[str, dict[int, CircuitVersion]]:
    """Return every circuit's versions, by name."""
    return _load(str(settings.ZK_EXTRA_ARTIFACTS or ""))


def find_circuit(name: str, version: int | None = None) -> CircuitVersion:
    """Return a circuit's version, by default the newest that may be used here; raise CircuitUnknown."""
    versions = all_circuits().get(name)
    if not versions:
        raise CircuitUnknown
    if version is None:
        usable = [number for number, circuit in versions.items() if circuit.is_available]
        return versions[max(usable or versions)]
    if version not in versions:
        raise CircuitUnknown
    return versions[version]


def usable_circuit(name: str, version: int | None = None) -> CircuitVersion:
    """Return a circuit's version that may be used here; raise CircuitUnknown or DevelopmentKeysRefused."""
    circuit = find_circuit(name, version)
    if not circuit.is_available:
        raise DevelopmentKeysRefused
    return circuit
