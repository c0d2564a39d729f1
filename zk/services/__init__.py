"""Requests, makes and checks proofs."""

from zk.scope import election_scope
from zk.services.provers import get_prover, preload
from zk.services.proving import ProofState, describe_made, get_proof, make_proof, request_proof
from zk.services.verifying import verify_proof

__all__ = [
    "ProofState",
    "describe_made",
    "election_scope",
    "get_proof",
    "get_prover",
    "make_proof",
    "preload",
    "request_proof",
    "verify_proof",
]
