"""Checks proofs that others made."""

from typing import Any

from zk.exceptions import ProofMalformed, ProverUnavailable
from zk.formats import NotAProof, read_proof, read_semaphore_proof, read_signals, snarkjs_proof
from zk.inputs import semaphore_hash
from zk.prover.base import ProverFailed
from zk.registry import CircuitVersion, usable_circuit
from zk.services.provers import get_prover


def verify_proof(*, name: str, value: Any, version: int | None = None) -> dict[str, Any]:
    """Tell whether a proof holds: `{"isValid", "pubSignals", "signals"}`.

    Takes `{"proof", "pubSignals"}` in snarkjs's format, or for `eligibility` a proof object of
    @semaphore-protocol/proof. Raises ProofMalformed, CircuitUnknown, DevelopmentKeysRefused, ProverUnavailable.
    """
    circuit = usable_circuit(name, version)
    try:
        words, signals = _read(circuit, value)
    except (NotAProof, TypeError, ValueError):
        raise ProofMalformed from None
    texts = [str(signal) for signal in signals]
    try:
        is_valid = get_prover().verify(circuit.files(for_proving=False), snarkjs_proof(words), texts)
    except ProverFailed as error:
        raise ProverUnavailable(code=error.code) from None
    return {
        "circuit": circuit.name,
        "version": circuit.version,
        "isValid": is_valid,
        "pubSignals": texts,
        "signals": dict(zip(circuit.public_signals, texts, strict=True)),
    }


def _read(circuit: CircuitVersion, value: Any) -> tuple[list[int], list[int]]:
    if circuit.name == "eligibility" and isinstance(value, dict) and "points" in value:
        words, signals, message, scope = read_semaphore_proof(value)
        return words, [*signals, semaphore_hash(message), semaphore_hash(scope)]
    if not isinstance(value, dict) or set(value) != {"proof", "pubSignals"}:
        raise NotAProof
    return read_proof(value["proof"]), read_signals(value["pubSignals"], len(circuit.public_signals))
