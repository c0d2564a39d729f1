"""The prover's own process: reads requests on stdin, proves, verifies what it proved, answers on stdout.

It is the only code that loads groth16py (GPL-3), and it loads nothing of Django. A message is four bytes of length
and a JSON object. Nothing about a witness is logged or reaches a disk: it goes to the prover through a memfd.
"""

import hashlib
import json
import os
import resource
import signal
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any, BinaryIO

import groth16py

from zk.prover.witness import ConstraintNotSatisfied, InputRefused, WitnessCalculator, public_signals


def read_message(stream: BinaryIO) -> Any:
    """Read one framed JSON message; None at the end of the stream."""
    head = stream.read(4)
    if len(head) < 4:
        return None
    body = stream.read(struct.unpack(">I", head)[0])
    return json.loads(body)


def write_message(stream: BinaryIO, message: Any) -> None:
    body = json.dumps(message).encode()
    stream.write(struct.pack(">I", len(body)) + body)
    stream.flush()


def snarkjs_proof(blob: bytes) -> dict[str, Any]:
    """Turn the 256 bytes that the EVM takes into snarkjs's JSON; the EVM swaps the halves of G2's coordinates."""
    word = [str(int.from_bytes(blob[i : i + 32], "big")) for i in range(0, 256, 32)]
    return {
        "pi_a": [word[0], word[1], "1"],
        "pi_b": [[word[3], word[2]], [word[5], word[4]], ["1", "0"]],
        "pi_c": [word[6], word[7], "1"],
        "protocol": "groth16",
        "curve": "bn128",
    }


class HashMismatch(Exception):
    """A file is not the one that the manifest names."""


class Circuit:
    """The files of one circuit, loaded when first needed."""

    def __init__(self, files: dict[str, Any]) -> None:
        self.files = files
        self._calculator: WitnessCalculator | None = None
        self._key: Any = None
        self._verifier: Any = None

    def read(self, kind: str) -> bytes:
        entry = self.files[kind]
        content = Path(entry["path"]).read_bytes()
        if hashlib.sha256(content).hexdigest() != entry["sha256"]:
            raise HashMismatch(kind)
        return content

    @property
    def verifier(self) -> Any:
        if self._verifier is None:
            key = groth16py.VerifyingKey.from_snarkjs(self.read("vkey").decode())
            self._verifier = groth16py.Verifier(key)
        return self._verifier

    def load(self) -> None:
        if self._key is None:
            self._calculator = WitnessCalculator(self.read("wasm"))
            self.read("zkey")
            self._key, _ = groth16py.import_zkey(self.files["zkey"]["path"])

    def prove(self, inputs: dict[str, Any]) -> dict[str, Any]:
        started = time.perf_counter()
        self.load()
        assert self._calculator is not None
        loaded = time.perf_counter()
        witness = self._calculator.calculate(inputs)
        signals = public_signals(witness, self.files["n_public"])
        computed = time.perf_counter()
        descriptor = os.memfd_create("witness", os.MFD_CLOEXEC)
        try:
            with os.fdopen(os.dup(descriptor), "wb") as file:
                file.write(witness)
            del witness
            blob = groth16py.prove_wtns(self._key, f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        proved = time.perf_counter()
        # groth16py answers with 256 bytes even for a witness that does not satisfy the circuit.
        if not self.verifier.verify(blob, signals):
            return {"ok": False, "code": "proof_not_valid", "detail": "the proof made does not verify"}
        return {
            "ok": True,
            "proof": snarkjs_proof(blob),
            "pubSignals": [str(signal) for signal in signals],
            "timings_ms": {
                "load": round((loaded - started) * 1000, 1),
                "witness": round((computed - loaded) * 1000, 1),
                "prove": round((proved - computed) * 1000, 1),
                "verify": round((time.perf_counter() - proved) * 1000, 1),
            },
        }

    def verify(self, proof: dict[str, Any], signals: list[str]) -> dict[str, Any]:
        try:
            is_valid = self.verifier.verify_snarkjs(json.dumps(proof), json.dumps(signals))
        except (groth16py.EncodingError, groth16py.VerificationError, ValueError):
            # A point off the curve or the wrong number of signals: no proof of anything.
            is_valid = False
        return {"ok": True, "is_valid": bool(is_valid)}


def answer(circuits: dict[str, Circuit], request: dict[str, Any]) -> dict[str, Any]:
    """Do one request; errors become codes, and no message carries a value of the witness."""
    name, files = request["circuit"], request["files"]
    if name not in circuits or circuits[name].files != files:
        circuits[name] = Circuit(files)
    circuit = circuits[name]
    try:
        if request["op"] == "prove":
            return circuit.prove(request["inputs"])
        if request["op"] == "verify":
            return circuit.verify(request["proof"], request["pubSignals"])
        circuit.load()
        return {"ok": True}
    except ConstraintNotSatisfied as error:
        return {"ok": False, "code": "constraint_not_satisfied", "detail": str(error)}
    except InputRefused as error:
        return {"ok": False, "code": "input_refused", "detail": str(error)}
    except HashMismatch as error:
        return {"ok": False, "code": "artifact_altered", "detail": f"the {error} is not the manifest's"}
    except Exception as error:
        # Its text might repeat an input.
        return {"ok": False, "code": "prover_failed", "detail": type(error).__name__}


def end_with(parent: int) -> None:
    """End this process soon after its parent, even in the middle of a proof."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def main() -> None:
    """Serve until stdin ends or the parent dies."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    # A core dump would hold witnesses.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source = sys.stdin.buffer
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    circuits: dict[str, Circuit] = {}
    while (request := read_message(source)) is not None:
        write_message(sink, answer(circuits, request))


if __name__ == "__main__":
    main()
