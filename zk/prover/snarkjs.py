"""The fallback, and the tests' oracle: snarkjs in a Node process for each proof."""

import json
import subprocess
from pathlib import Path
from typing import Any

from zk.prover.base import MadeProof, ProofFiles, ProverCrashed, ProverFailed, ProverTimedOut, WitnessRefused

SCRIPT = Path(__file__).with_suffix(".mjs")


class SnarkjsProver:
    """Same answers as the native prover at a fifth of its speed or less, with nothing but Node."""

    def __init__(self, *, node_modules: Path) -> None:
        self.node_modules = node_modules

    def prove(self, files: ProofFiles, inputs: dict[str, Any], *, timeout_seconds: float) -> MadeProof:
        answer = self._ask(files, {"op": "prove", "inputs": _as_strings(inputs)}, timeout_seconds)
        return MadeProof(answer["proof"], answer["pubSignals"])

    def verify(self, files: ProofFiles, proof: dict[str, Any], public_signals: list[str]) -> bool:
        request = {"op": "verify", "proof": proof, "pubSignals": public_signals}
        try:
            return bool(self._ask(files, request, 60)["is_valid"])
        except ProverCrashed:
            # snarkjs throws on a point that is not on the curve.
            return False

    def load(self, files: ProofFiles) -> None:
        """Nothing stays loaded between two proofs."""

    def close(self) -> None:
        """Nothing to end."""

    def _ask(self, files: ProofFiles, request: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
        request |= {"wasm": files.wasm["path"], "zkey": files.zkey["path"], "vkey": files.vkey["path"]}
        try:
            done = subprocess.run(
                ["node", str(SCRIPT), str(self.node_modules)],
                input=json.dumps(request).encode(),
                capture_output=True,
                timeout=timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ProverTimedOut("the prover did not answer in time") from error
        if done.returncode != 0:
            raise ProverCrashed(f"node ended with {done.returncode}")
        answer = json.loads(done.stdout)
        if answer["ok"]:
            return dict(answer)
        if answer["code"] == "constraint_not_satisfied":
            raise WitnessRefused(answer["detail"])
        raise ProverFailed(answer["detail"], code=answer["code"])


def _as_strings(value: Any) -> Any:
    """Numbers as decimal strings: JavaScript's own lose digits past 2^53."""
    if isinstance(value, dict):
        return {name: _as_strings(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_strings(item) for item in value]
    return str(value)
