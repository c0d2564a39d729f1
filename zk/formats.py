"""Proofs in the formats of snarkjs, Semaphore and the EVM."""

from collections.abc import Sequence
from typing import Any

from eth_hash.auto import keccak

from zk.inputs import DECIMAL, DEPTH
from zk.poseidon import FIELD_MODULUS

BASE_MODULUS = 21888242871839275222246405745257275088696311157297823662689037894645226208583


class NotAProof(ValueError):
    """The value does not have a proof's shape."""


def _number(value: Any, below: int) -> int:
    if not isinstance(value, str) or not DECIMAL.fullmatch(value) or int(value) >= below:
        raise NotAProof
    return int(value)


def _sized(value: Any, size: int) -> list[Any]:
    if not isinstance(value, list) or len(value) != size:
        raise NotAProof
    return value


def read_proof(value: Any) -> list[int]:
    """Read a snarkjs proof strictly, as the eight words that the EVM takes; raise NotAProof."""
    known = {"pi_a", "pi_b", "pi_c", "protocol", "curve"}
    if not isinstance(value, dict) or not {"pi_a", "pi_b", "pi_c"} <= set(value) <= known:
        raise NotAProof
    if value.get("protocol", "groth16") != "groth16" or value.get("curve", "bn128") != "bn128":
        raise NotAProof
    a, b, c = (_sized(value[name], 3) for name in ("pi_a", "pi_b", "pi_c"))
    if a[2] != "1" or c[2] != "1" or b[2] != ["1", "0"]:
        raise NotAProof
    (x0, x1), (y0, y1) = _sized(b[0], 2), _sized(b[1], 2)
    return [_number(word, BASE_MODULUS) for word in (a[0], a[1], x1, x0, y1, y0, c[0], c[1])]


def read_signals(value: Any, size: int) -> list[int]:
    """Read public signals: decimal strings below the field's order, so that input + r is no second name."""
    return [_number(signal, FIELD_MODULUS) for signal in _sized(value, size)]


def snarkjs_proof(words: Sequence[int]) -> dict[str, Any]:
    """Make snarkjs's JSON of the eight words that the EVM takes."""
    w = [str(word) for word in words]
    return {
        "pi_a": [w[0], w[1], "1"],
        "pi_b": [[w[3], w[2]], [w[5], w[4]], ["1", "0"]],
        "pi_c": [w[6], w[7], "1"],
        "protocol": "groth16",
        "curve": "bn128",
    }


def read_semaphore_proof(value: Any) -> tuple[list[int], list[int], int, int]:
    """Read a proof of @semaphore-protocol/proof; return its words, [root, nullifier], message and scope."""
    names = {"merkleTreeDepth", "merkleTreeRoot", "nullifier", "message", "scope", "points"}
    if not isinstance(value, dict) or set(value) != names or value["merkleTreeDepth"] != DEPTH:
        raise NotAProof
    words = [_number(word, BASE_MODULUS) for word in _sized(value["points"], 8)]
    signals = [_number(value[name], FIELD_MODULUS) for name in ("merkleTreeRoot", "nullifier")]
    return words, signals, _number(value["message"], 2**256), _number(value["scope"], 2**256)


def calldata(circuit: str, words: Sequence[int], signals: Sequence[int]) -> dict[str, Any]:
    """Give what the contracts take: the verifier's arguments, its ABI-encoded call, and the proof as uint256[8]."""
    arguments = [*words, *signals]
    types = f"uint256[2],uint256[2][2],uint256[2],uint256[{len(signals)}]"
    if circuit == "eligibility":
        arguments.append(DEPTH)
        types += ",uint256"
    selector = keccak(f"verifyProof({types})".encode())[:4]
    h = [hex(word) for word in words]
    return {
        "a": h[0:2],
        "b": [h[2:4], h[4:6]],
        "c": h[6:8],
        "input": [hex(signal) for signal in signals],
        "proof": h,
        "data": "0x" + (selector + b"".join(word.to_bytes(32, "big") for word in arguments)).hex(),
    }
