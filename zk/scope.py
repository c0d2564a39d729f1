"""The scope that binds proofs to one election of one contract on one chain."""

from eth_hash.auto import keccak


def election_scope(*, chain_id: int, contract: str, election_id: int) -> int:
    """Return `ElectionManager.scopeOf(id)`: keccak256(abi.encode(chain id, contract, id)) without its last byte."""
    address = int(contract, 16)
    encoded = b"".join(word.to_bytes(32, "big") for word in (chain_id, address, election_id))
    return int.from_bytes(keccak(encoded), "big") >> 8
