"""Witnesses and proofs as an attacker makes them: with values overwritten after the circuit computed them."""

import os
from functools import cache

import groth16py

from zk.prover.witness import FIELD_MODULUS, SIGNAL_BYTES, WitnessCalculator, public_signals, wtns
from zk.prover.worker import snarkjs_proof
from zk.registry import find_circuit
from zk.tests.inputs import circuit_inputs

HEADER_BYTES = len(wtns(b""))


@cache
def calculator(name: str) -> WitnessCalculator:
    return WitnessCalculator(find_circuit(name).path("wasm").read_bytes())


@cache
def keys(name: str):
    key, _ = groth16py.import_zkey(str(find_circuit(name).path("zkey")))
    return key


def signals_of(name: str, witness: bytes) -> list[int]:
    return public_signals(witness, len(find_circuit(name).public_signals))


def overwrite(witness: bytes, changes: dict[int, int]) -> bytes:
    """Put other values at some places of a witness; place 0 is the constant 1, public signals follow."""
    content = bytearray(witness)
    for place, value in changes.items():
        start = HEADER_BYTES + SIGNAL_BYTES * place
        content[start : start + SIGNAL_BYTES] = (value % FIELD_MODULUS).to_bytes(SIGNAL_BYTES, "little")
    return bytes(content)


def prove(name: str, witness: bytes) -> tuple[dict, list[str]]:
    """Prove without checking anything, as groth16py does for any witness."""
    descriptor = os.memfd_create("witness")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(witness)
        blob = groth16py.prove_wtns(keys(name), f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return snarkjs_proof(blob), [str(signal) for signal in signals_of(name, witness)]


@cache
def honest_proof(name: str) -> tuple[dict, list[str]]:
    return prove(name, calculator(name).calculate(circuit_inputs(name)))
