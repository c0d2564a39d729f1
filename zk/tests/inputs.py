"""Valid inputs of each circuit, made anew for each call."""

import random
from functools import cache
from typing import Any

from zk.eddsa import SUBGROUP_ORDER, commitment_of, public_key_of
from zk.inputs import KINDS
from zk.lean_imt import LeanIMT
from zk.poseidon import FIELD_MODULUS


def voice_input(seed: int = 1, **changes: Any) -> dict[str, Any]:
    dice = random.Random(seed)
    votes = [dice.randrange(60) for _ in range(10)]
    value = {
        "election": str(dice.randrange(FIELD_MODULUS)),
        "budget": sum(number**2 for number in votes) + dice.randrange(100),
        "votes": votes,
        "salt": str(dice.randrange(FIELD_MODULUS)),
    }
    return value | changes


def batch_input(seed: int = 1, count: int = 128, **changes: Any) -> dict[str, Any]:
    dice = random.Random(seed)
    value = {
        "election": str(dice.randrange(FIELD_MODULUS)),
        "chainBefore": str(dice.randrange(FIELD_MODULUS)),
        "votes": [[dice.randrange(2**16) for _ in range(10)] for _ in range(count)],
        "salts": [str(dice.randrange(FIELD_MODULUS)) for _ in range(count)],
    }
    return value | changes


def eligibility_input(seed: int = 1, members: int = 9, **changes: Any) -> dict[str, Any]:
    dice = random.Random(seed)
    secret = dice.randrange(1, SUBGROUP_ORDER)
    leaves = [dice.randrange(1, FIELD_MODULUS) for _ in range(members)]
    place = dice.randrange(members)
    leaves[place] = commitment_of(public_key_of(secret))
    proof = LeanIMT(leaves).prove(place)
    value = {
        "secret": str(secret),
        "merkleProofLength": len(proof.siblings),
        "merkleProofIndex": proof.index,
        "merkleProofSiblings": [str(node) for node in proof.siblings],
        "message": "2",
        "scope": str(dice.randrange(2**248)),
    }
    return value | changes


MAKERS = {"voice": voice_input, "batch_tally": batch_input, "eligibility": eligibility_input}


@cache
def _inputs(name: str, seed: int) -> dict:
    return KINDS[name].read(MAKERS[name](seed))


def circuit_inputs(name: str, seed: int = 1) -> dict:
    return dict(_inputs(name, seed))


def batch_with(change, seed: int = 1) -> dict:
    inputs = circuit_inputs("batch_tally", seed)
    inputs["votes"] = [list(row) for row in inputs["votes"]]
    change(inputs)
    return inputs
