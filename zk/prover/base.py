"""What a prover offers, and how it fails."""

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class ProofFiles:
    """Where one version of a circuit lies: `{"path", "sha256"}` of wasm, zkey and vkey, and its public signals."""

    name: str
    n_public: int
    wasm: dict[str, str]
    zkey: dict[str, str]
    vkey: dict[str, str]


@dataclass(frozen=True, slots=True)
class MadeProof:
    """A proof in snarkjs's format, verified by its maker."""

    proof: dict[str, Any]
    public_signals: list[str]
    timings_ms: dict[str, float] = field(default_factory=dict)


class ProverFailed(Exception):
    """The prover could not make a proof; `code` is stable, the message holds no value of the witness."""

    code = "prover_failed"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.code = code or type(self).code


class ProverCrashed(ProverFailed):
    """The prover's process ended while it worked."""

    code = "prover_crashed"


class ProverTimedOut(ProverFailed):
    """The prover did not answer in time and was ended."""

    code = "prover_timed_out"


class WitnessRefused(ProverFailed):
    """The input does not satisfy the circuit; the message names the constraint where the circuit tells."""

    code = "constraint_not_satisfied"


class Prover(Protocol):
    """Makes and checks proofs; usable from several threads."""

    def prove(self, files: ProofFiles, inputs: dict[str, Any], *, timeout_seconds: float) -> MadeProof: ...

    def verify(self, files: ProofFiles, proof: dict[str, Any], public_signals: list[str]) -> bool: ...

    def load(self, files: ProofFiles) -> None: ...

    def close(self) -> None: ...
