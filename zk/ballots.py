"""Committed ballots and their chain, computed as `ballot.circom` and `batch_tally.circom` do."""

from collections.abc import Sequence

from zk.poseidon import poseidon

LINK = 8
BATCH = 128


def commit_ballot(*, election: int, votes: Sequence[int], salt: int) -> int:
    """Return a ballot's commitment: Poseidon(election, votes packed 16 bits each, salt)."""
    packed = sum(number << 16 * j for j, number in enumerate(votes))
    return poseidon([election, packed, salt])


def chain_commitments(*, before: int, commitments: Sequence[int]) -> int:
    """Absorb one batch of commitments, eight to a link and padded with 0 to 128."""
    padded = [*commitments, *[0] * (BATCH - len(commitments))]
    chain = before
    for start in range(0, BATCH, LINK):
        chain = poseidon([chain, *padded[start : start + LINK]])
    return chain
