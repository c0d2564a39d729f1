"""The prover of choice (docs/adr/0020): groth16py and wasmtime in a process beside this one, kept warm."""

import json
import logging
import os
import select
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from zk.prover.base import MadeProof, ProofFiles, ProverCrashed, ProverFailed, ProverTimedOut, WitnessRefused

ROOT = Path(__file__).resolve().parent.parent.parent
VERIFY_TIMEOUT_SECONDS = 20
LOAD_TIMEOUT_SECONDS = 120
logger = logging.getLogger(__name__)


class NativeProver:
    """Starts the process when first used, and again after it crashed or was ended for being late."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = os.getpid()

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return self._process

    def prove(self, files: ProofFiles, inputs: dict[str, Any], *, timeout_seconds: float) -> MadeProof:
        """Return a verified proof; raise WitnessRefused, ProverCrashed, ProverTimedOut or ProverFailed."""
        answer = self._ask(files, {"op": "prove", "inputs": inputs}, timeout_seconds)
        return MadeProof(answer["proof"], answer["pubSignals"], answer["timings_ms"])

    def verify(self, files: ProofFiles, proof: dict[str, Any], public_signals: list[str]) -> bool:
        """Tell whether a proof in snarkjs's format holds for the public signals."""
        request = {"op": "verify", "proof": proof, "pubSignals": public_signals}
        return bool(self._ask(files, request, VERIFY_TIMEOUT_SECONDS)["is_valid"])

    def load(self, files: ProofFiles) -> None:
        """Load a circuit's key ahead of its first proof."""
        self._ask(files, {"op": "load"}, LOAD_TIMEOUT_SECONDS)

    def close(self) -> None:
        """End the process and reap it."""
        with self._lock:
            self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # A forked child must not end its parent's prover: it only lets go of the pipes.
        if self._pid == os.getpid():
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                try:
                    stream.close()
                except BrokenPipeError:
                    logger.debug("the prover's pipe was already closed")

    def _start(self) -> subprocess.Popen[bytes]:
        self._pid = os.getpid()
        environment = {key: os.environ[key] for key in ("PATH", "LANG", "LD_LIBRARY_PATH") if key in os.environ}
        process = subprocess.Popen(
            [sys.executable, "-m", "zk.prover.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=environment,
        )
        self._process = process
        return process

    def _ask(self, files: ProofFiles, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        with self._lock:
            deadline = time.monotonic() + timeout_seconds
            if self._process is not None and (self._pid != os.getpid() or self._process.poll() is not None):
                self._end()
            if self._process is None:
                self._start()
            try:
                self._send({"circuit": files.name, "files": _as_config(files), **request})
                answer = json.loads(self._receive(deadline))
            except BaseException:
                # Also a Celery time limit: an answer that comes late must not be read as the next one's.
                self._end()
                raise
        if answer["ok"]:
            return dict(answer)
        if answer["code"] in {"constraint_not_satisfied", "input_refused"}:
            raise WitnessRefused(answer["detail"])
        raise ProverFailed(answer["detail"], code=answer["code"])

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        body = json.dumps(message).encode()
        try:
            self._process.stdin.write(struct.pack(">I", len(body)) + body)
            self._process.stdin.flush()
        except (BrokenPipeError, OSError) as error:
            raise ProverCrashed("the prover's process ended") from error

    def _receive(self, deadline: float) -> bytes:
        return self._read(struct.unpack(">I", self._read(4, deadline))[0], deadline)

    def _read(self, size: int, deadline: float) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        content = b""
        while len(content) < size:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise ProverTimedOut("the prover did not answer in time")
            part = os.read(descriptor, size - len(content))
            if not part:
                code = self._process.wait()
                raise ProverCrashed(f"the prover's process ended with {code}")
            content += part
        return content


def _as_config(files: ProofFiles) -> dict[str, Any]:
    return {"wasm": files.wasm, "zkey": files.zkey, "vkey": files.vkey, "n_public": files.n_public}
