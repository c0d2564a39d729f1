"""Poseidon over BN254's scalar field, with circomlib's constants (eprint 2019/458)."""

from functools import cache

from light_poseidon_python import Hasher

FIELD_MODULUS = 21888242871839275222246405745257275088548364400416034343698204186575808495617


@cache
def _hasher(size: int) -> Hasher:
    return Hasher(size)


def poseidon(inputs: list[int]) -> int:
    """Hash 1 to 12 field elements into one; raise ValueError for a number outside of the field."""
    for number in inputs:
        if not 0 <= number < FIELD_MODULUS:
            raise ValueError("not a field element")
    return int(_hasher(len(inputs)).hash_bytes_be([number.to_bytes(32, "big") for number in inputs]), 16)
