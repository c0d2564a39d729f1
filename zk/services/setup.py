"""Builds circuits, makes development keys and checks keys; operators' work, not the server's.

The tools are npm's circom2 and snarkjs, run as processes. All steps are deterministic: the same sources and
powers-of-tau file give the same bytes on every machine, so that anyone can check what is committed.
"""

import hashlib
import json
import lzma
import os
import re
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings

from zk.registry import COMMITTED, Artifact, CircuitVersion, all_circuits, unpack

SOURCES = Path(__file__).resolve().parent.parent / "circuits"
SCRIPTS = Path(__file__).resolve().parent.parent / "setup"
# The beacon of development keys: a constant that everyone knows. That is what makes them development keys.
DEVELOPMENT_BEACON = "0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
BEACON_ITERATIONS_EXP = 10
NPM_ELIGIBILITY = "@zk-kit/semaphore-artifacts/semaphore-20"


class SetupFailed(Exception):
    """A tool of the set-up failed; the message is what it said of the reason."""


@dataclass(frozen=True)
class OwnCircuit:
    """What the manifest says of a circuit of ours and cannot be read from its files."""

    version: int
    public_signals: tuple[str, ...]
    verifier: str


OWN_CIRCUITS = {
    "voice": OwnCircuit(1, ("commitment", "election", "budget"), "VoiceVerifier"),
    "batch_tally": OwnCircuit(
        1,
        ("chainAfter", *(f"totals[{i}]" for i in range(10)), "election", "chainBefore", "count"),
        "BatchTallyVerifier",
    ),
}
ELIGIBILITY_SIGNALS = ("merkleRoot", "nullifier", "message", "scope")


def _node(*arguments: str, cwd: Path | None = None) -> str:
    """Run a Node tool and return what it printed; raise SetupFailed with the end of it."""
    done = subprocess.run(["node", *arguments], capture_output=True, text=True, cwd=cwd, check=False)
    printed = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    if done.returncode != 0 or "[ERROR]" in printed:
        told = [line.strip() for line in printed.splitlines() if "[ERROR]" in line or "rror:" in line]
        # The lines below the first are the tool's own stack.
        raise SetupFailed(f"{Path(arguments[0]).name}: {told[0] if told else printed[-1500:].strip()}")
    return printed


def _snarkjs(*arguments: str) -> str:
    return _node(str(Path(settings.ZK_NODE_MODULES) / "snarkjs" / "build" / "cli.cjs"), *arguments)


@dataclass(frozen=True)
class Build:
    """A compiled circuit."""

    r1cs: Path
    wasm: Path
    n_constraints: int

    @property
    def r1cs_sha256(self) -> str:
        return hashlib.sha256(self.r1cs.read_bytes()).hexdigest()


@contextmanager
def compiled(name: str) -> Iterator[Build]:
    """Compile one of our circuits in a temporary folder.

    The sources are copied beside circomlib's: the compiler is a WebAssembly that does not follow links out of the
    folder it runs in.
    """
    modules = Path(settings.ZK_NODE_MODULES)
    with tempfile.TemporaryDirectory(prefix="psephos-circuit-") as temporary:
        folder = Path(temporary)
        shutil.copytree(modules / "circomlib" / "circuits", folder / "circomlib" / "circuits")
        for source in SOURCES.glob("*.circom"):
            shutil.copy(source, folder)
        compiler = str(modules / "circom2" / "cli.js")
        _node(compiler, f"{name}.circom", "--r1cs", "--wasm", "--O2", "-o", ".", cwd=folder)
        r1cs = folder / f"{name}.r1cs"
        yield Build(r1cs, folder / f"{name}_js" / f"{name}.wasm", count_constraints(r1cs))


def count_constraints(r1cs: Path) -> int:
    """Read the number of constraints from an r1cs file's header section."""
    content = r1cs.read_bytes()[:200_000_000]
    position = 12
    while position < len(content):
        number, size = struct.unpack_from("<IQ", content, position)
        position += 12
        if number == 1:
            field_bytes = struct.unpack_from("<I", content, position)[0]
            return int(struct.unpack_from("<I", content, position + 4 + field_bytes + 24)[0])
        position += size
    raise SetupFailed(f"{r1cs.name} has no header")


def count_constraints_of_key(zkey: Path) -> int:
    """Count a circuit's constraints by its key's coefficients, whose last rows bind the public signals."""
    content = zkey.read_bytes()
    position, n_public, last = 12, 0, -1
    while position < len(content):
        number, size = struct.unpack_from("<IQ", content, position)
        position += 12
        if number == 2:
            n_public = struct.unpack_from("<I", content, position + 2 * (4 + 32) + 4)[0]
        if number == 4:
            # u32 count, then (u32 matrix, u32 constraint, u32 signal, 32 bytes).
            rows = range(position + 8, position + size, 44)
            last = max(struct.unpack_from("<I", content, row)[0] for row in rows)
        position += size
    return int(last - n_public)


def make_development_keys(*, ptau: Path, names: list[str], say: Callable[[str], None] = lambda line: None) -> None:
    """Compile circuits, make their development keys from a powers-of-tau file, and write them to the manifest.

    Writes `zk/artifacts/` and the Solidity verifiers; takes about four minutes for `batch_tally`. Never for
    production: the keys come from one machine and a public constant.
    """
    manifest = read_raw_manifest()
    manifest["circuits"].setdefault("eligibility", {})["1"] = eligibility_entry()
    for name in names:
        own = OWN_CIRCUITS[name]
        say(f"{name}: compiling")
        with compiled(name) as build:
            folder = build.r1cs.parent
            say(f"{name}: {build.n_constraints:,} constraints; making keys")
            _snarkjs("groth16", "setup", str(build.r1cs), str(ptau), str(folder / "0.zkey"))
            zkey, vkey = folder / "circuit.zkey", folder / "verification_key.json"
            _snarkjs(
                "zkey", "beacon", str(folder / "0.zkey"), str(zkey),
                DEVELOPMENT_BEACON, str(BEACON_ITERATIONS_EXP), "-n=development beacon",
            )  # fmt: skip
            _snarkjs("zkey", "export", "verificationkey", str(zkey), str(vkey))
            target = COMMITTED / name / str(own.version)
            target.mkdir(parents=True, exist_ok=True)
            files = {"wasm": build.wasm, "zkey": zkey, "vkey": vkey, "r1cs": build.r1cs}
            manifest["circuits"].setdefault(name, {})[str(own.version)] = {
                "origin": "development keys of this repository, made by `manage.py zk_setup`",
                "is_development": True,
                "n_constraints": build.n_constraints,
                "public_signals": list(own.public_signals),
                "r1cs_sha256": build.r1cs_sha256,
                "sources_sha256": hash_sources(name),
                "ptau_sha256": hash_file(ptau),
                "beacon": DEVELOPMENT_BEACON,
                "files": {kind: _store(path, kind, target, name, own.version) for kind, path in files.items()},
            }
            write_solidity(zkey=zkey, name=own.verifier)
    write_raw_manifest(manifest)


def hash_sources(name: str) -> str:
    """Hash a circuit's sources and the versions of what compiles them: the manifest shows at once that they changed."""
    modules = Path(settings.ZK_NODE_MODULES)
    digest = hashlib.sha256()
    for package in ("circom2", "circomlib"):
        version = json.loads((modules / package / "package.json").read_text())["version"]
        digest.update(f"{package} {version}\n".encode())
    pending, seen = [f"{name}.circom"], set()
    while pending:
        source = pending.pop()
        seen.add(source)
        content = (SOURCES / source).read_text()
        digest.update(f"{source} {len(content)}\n{content}".encode())
        pending += [one for one in re.findall(r'include "\./([^"]+)"', content) if one not in seen]
    return digest.hexdigest()


def _store(path: Path, kind: str, target: Path, name: str, version: int) -> dict[str, Any]:
    content = path.read_bytes()
    if kind == "vkey":
        stored = "verification_key.json"
        (target / stored).write_bytes(content)
    else:
        stored = f"circuit.{kind}.xz"
        (target / stored).write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))
    return {
        "source": f"{name}/{version}/{stored}",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
    }


def eligibility_entry() -> dict[str, Any]:
    """Describe Semaphore's files, which npm brings; keyed by a public ceremony of 385 people and a beacon."""
    files = {}
    for kind, suffix in (("wasm", "wasm"), ("zkey", "zkey"), ("vkey", "json")):
        path = Path(settings.ZK_NODE_MODULES) / f"{NPM_ELIGIBILITY}.{suffix}"
        files[kind] = {
            "source": f"npm:{NPM_ELIGIBILITY}.{suffix}",
            "sha256": hash_file(path),
            "size_bytes": path.stat().st_size,
        }
    # No r1cs comes with them. Ours is compiled (--O2) from npm @semaphore-protocol/circuits 4.14.2; a test finds its
    # matrices in the key.
    r1cs = COMMITTED / "eligibility" / "1" / "circuit.r1cs.xz"
    content = lzma.decompress(r1cs.read_bytes())
    files["r1cs"] = {
        "source": "eligibility/1/circuit.r1cs.xz",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
    }
    package = json.loads((Path(settings.ZK_NODE_MODULES) / "@zk-kit/semaphore-artifacts/package.json").read_text())
    return {
        "origin": f"Semaphore v4, depth 20: npm @zk-kit/semaphore-artifacts {package['version']}",
        "is_development": False,
        "n_constraints": count_constraints_of_key(Path(settings.ZK_NODE_MODULES) / f"{NPM_ELIGIBILITY}.zkey"),
        "public_signals": list(ELIGIBILITY_SIGNALS),
        "files": files,
    }


def write_solidity(*, zkey: Path, name: str) -> None:
    """Export a key's verifier contract under its own name into the contracts' folder."""
    target = SOURCES.parent.parent / "chain" / "contracts" / f"{name}.sol"
    with tempfile.TemporaryDirectory() as folder:
        exported = Path(folder) / "verifier.sol"
        _snarkjs("zkey", "export", "solidityverifier", str(zkey), str(exported))
        target.write_text(exported.read_text().replace("contract Groth16Verifier", f"contract {name}"))


def read_raw_manifest() -> dict[str, Any]:
    path = COMMITTED / "manifest.json"
    if not path.exists():
        return {"circuits": {}}
    manifest: dict[str, Any] = json.loads(path.read_text())
    return manifest


def write_raw_manifest(manifest: dict[str, Any]) -> None:
    (COMMITTED / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass
class Finding:
    """What a check of one circuit's version found; `faults` is empty when all is well."""

    circuit: CircuitVersion
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def verify_setup(
    *, ptau: Path | None = None, is_rebuilding: bool = False, names: list[str] | None = None
) -> list[Finding]:
    """Check files against the manifest and each key's chain of contributions, for all circuits or those named.

    Each contribution must prove that its maker knew their secret and built on the one before; with `is_rebuilding`
    our circuits are compiled again and compared; with `ptau` snarkjs checks besides that the key is this circuit's
    and comes from that file.
    """
    findings = []
    for name, versions in all_circuits().items():
        if names and name not in names:
            continue
        for circuit in versions.values():
            finding = Finding(circuit)
            findings.append(finding)
            _check_files(finding)
            if not finding.faults:
                _check_contributions(finding)
            if circuit.name in OWN_CIRCUITS and circuit.r1cs_sha256 and (is_rebuilding or ptau):
                _check_build(finding, ptau)
    return findings


def _check_files(finding: Finding) -> None:
    artifact: Artifact
    for kind, artifact in finding.circuit.artifacts.items():
        try:
            path = unpack(artifact)
        except Exception as error:
            finding.faults.append(f"{kind}: {error}")
            continue
        if hash_file(path) != artifact.sha256 or path.stat().st_size != artifact.size_bytes:
            finding.faults.append(f"{kind}: differs from the manifest")
        stored = artifact.stored_path
        if (
            stored.suffix == ".xz"
            and hashlib.sha256(lzma.decompress(stored.read_bytes())).hexdigest() != artifact.sha256
        ):
            finding.faults.append(f"{kind}: the packed file differs from the manifest")
    if not finding.faults:
        finding.notes.append("files equal the manifest")


def _check_contributions(finding: Finding) -> None:
    circuit = finding.circuit
    script = str(SCRIPTS / "contributions.mjs")
    report = json.loads(
        _node(script, settings.ZK_NODE_MODULES, os.fspath(circuit.path("zkey")), os.fspath(circuit.path("vkey")))
    )
    finding.faults += report["faults"]
    beacons = report["beacons"]
    finding.notes.append(f"{report['contributions']} contributions, {len(beacons)} of them beacons")
    if DEVELOPMENT_BEACON in beacons and not circuit.is_development:
        finding.faults.append("the key ends in the development beacon but is not marked as a development key")


def _check_build(finding: Finding, ptau: Path | None) -> None:
    circuit = finding.circuit
    with compiled(circuit.name) as build:
        if build.r1cs_sha256 != circuit.r1cs_sha256:
            finding.faults.append("r1cs: the sources compile to another circuit")
        if hash_file(build.wasm) != circuit.artifacts["wasm"].sha256:
            finding.faults.append("wasm: the sources compile to another program")
        if ptau and not finding.faults:
            printed = _snarkjs("zkey", "verify", str(build.r1cs), str(ptau), os.fspath(circuit.path("zkey")))
            if "ZKey Ok!" not in printed:
                finding.faults.append("zkey: snarkjs refuses it for this circuit and powers of tau")
            finding.notes.append("snarkjs verified the key against circuit and powers of tau")
    if not finding.faults:
        finding.notes.append("sources compile to these files")
