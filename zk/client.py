"""A voter's device, in Python: an identity, its registration and its proofs. For the demo, tests and load.

A person's real device does the same with @semaphore-protocol in JavaScript (`deploy/local/voter/voter.mjs`).
"""

import secrets
from dataclasses import dataclass
from typing import Any

from zk.eddsa import SUBGROUP_ORDER, commitment_of, public_key_of, sign
from zk.formats import read_proof
from zk.inputs import read_eligibility
from zk.prover.base import Prover
from zk.registry import usable_circuit
from zk.services.provers import get_prover


@dataclass(frozen=True, slots=True)
class VoterIdentity:
    """A Semaphore v4 identity by its secret scalar."""

    secret: int

    @classmethod
    def generate(cls) -> "VoterIdentity":
        """Make a new identity from the system's randomness."""
        return cls(1 + secrets.randbelow(SUBGROUP_ORDER - 1))

    @property
    def commitment(self) -> int:
        return commitment_of(public_key_of(self.secret))

    def registration(self, scope: int) -> dict[str, Any]:
        """Make the body of `POST /elections/{id}/census`: the public key, and its signature over the scope."""
        signature = sign(secret=self.secret, message=scope, nonce=1 + secrets.randbelow(SUBGROUP_ORDER - 1))
        return {
            "public_key": [str(coordinate) for coordinate in public_key_of(self.secret)],
            "signature": {"r8": [str(coordinate) for coordinate in signature.r8], "s": str(signature.s)},
        }

    def proof_input(self, *, merkle_proof: dict[str, Any], scope: int, choice: int) -> dict[str, Any]:
        """Make the body of `POST /api/zk/eligibility` from the answer of `/elections/{id}/census/proof`."""
        return {
            "secret": str(self.secret),
            "merkleProofLength": len(merkle_proof["siblings"]),
            "merkleProofIndex": merkle_proof["index"],
            "merkleProofSiblings": merkle_proof["siblings"],
            "message": str(choice),
            "scope": str(scope),
        }

    def prove_vote(
        self, *, merkle_proof: dict[str, Any], scope: int, choice: int, prover: Prover | None = None
    ) -> "VoteProof":
        """Prove on this machine that a member of the census votes for a choice."""
        inputs = read_eligibility(self.proof_input(merkle_proof=merkle_proof, scope=scope, choice=choice))
        files = usable_circuit("eligibility").files(for_proving=True)
        made = (prover or get_prover()).prove(files, inputs, timeout_seconds=120)
        return VoteProof(
            root=int(made.public_signals[0]),
            nullifier=int(made.public_signals[1]),
            choice=choice,
            proof=read_proof(made.proof),
        )


@dataclass(frozen=True, slots=True)
class VoteProof:
    """The arguments of `ElectionManager.voteWithProof`: choice, nullifier, and the proof as uint256[8]."""

    root: int
    nullifier: int
    choice: int
    proof: list[int]
