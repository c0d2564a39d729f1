"""Circuits, keys, prover and verifier."""
