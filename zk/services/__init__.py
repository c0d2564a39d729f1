"""Requests, makes and checks proofs."""

from zk.eddsa import Signature, commitment_of, is_in_subgroup
from zk.eddsa import verify as verify_signature
from zk.inputs import DEPTH as CENSUS_DEPTH
from zk.lean_imt import LeanIMT, MerkleProof, depth_of, place, proof_from, verify_merkle_proof
from zk.poseidon import poseidon
from zk.scope import election_scope
from zk.services.provers import get_prover, preload
from zk.services.proving import ProofState, describe_made, get_proof, make_proof, request_proof
from zk.services.verifying import verify_proof

__all__ = [
    "CENSUS_DEPTH",
    "LeanIMT",
    "MerkleProof",
    "ProofState",
    "Signature",
    "commitment_of",
    "depth_of",
    "describe_made",
    "election_scope",
    "get_proof",
    "get_prover",
    "is_in_subgroup",
    "make_proof",
    "place",
    "poseidon",
    "preload",
    "proof_from",
    "request_proof",
    "verify_merkle_proof",
    "verify_proof",
    "verify_signature",
]
