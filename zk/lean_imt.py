"""LeanIMT, the Merkle tree of Semaphore v4 (zkkit.pse.dev, "LeanIMT paper"): equal to @zk-kit/lean-imt.

A node with one child is that child; so the tree has no zero hashes and is only as deep as its leaves need.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from zk.poseidon import poseidon


@dataclass(frozen=True, slots=True)
class MerkleProof:
    """Where a leaf stands: bit i of `index` says whether the path comes from the right at sibling i."""

    root: int
    leaf: int
    index: int
    siblings: list[int]


def depth_of(size: int) -> int:
    """Return how many levels a tree of this many leaves has above them."""
    return max(size - 1, 0).bit_length()


def place(index: int, size: int) -> list[int | None]:
    """Return, level by level, the index of a leaf's sibling node, or None where the level has none."""
    siblings: list[int | None] = []
    for _ in range(depth_of(size)):
        sibling = index ^ 1
        siblings.append(sibling if sibling < size else None)
        index >>= 1
        size = (size + 1) >> 1
    return siblings


class LeanIMT:
    """A tree in memory; `levels[0]` are the leaves, the last level holds the root."""

    def __init__(self, leaves: Iterable[int] = ()) -> None:
        self.levels: list[list[int]] = [[]]
        self.extend(leaves)

    @property
    def size(self) -> int:
        return len(self.levels[0])

    @property
    def depth(self) -> int:
        return len(self.levels) - 1

    @property
    def root(self) -> int:
        """The root, 0 while the tree is empty."""
        return self.levels[-1][0] if self.size else 0

    def extend(self, leaves: Iterable[int]) -> None:
        """Append leaves; only nodes above them are hashed again."""
        start = self.size
        self.levels[0].extend(leaves)
        while len(self.levels) - 1 < depth_of(self.size):
            self.levels.append([])
        for below, level in zip(self.levels, self.levels[1:], strict=False):
            start >>= 1
            del level[start:]
            for left in range(2 * start, len(below), 2):
                has_right = left + 1 < len(below)
                level.append(poseidon([below[left], below[left + 1]]) if has_right else below[left])

    def prove(self, index: int) -> MerkleProof:
        """Return the proof of the leaf at an index."""
        if not 0 <= index < self.size:
            raise IndexError("no such leaf")
        nodes = [
            None if sibling is None else level[sibling]
            for level, sibling in zip(self.levels, place(index, self.size), strict=False)
        ]
        return proof_from(root=self.root, leaf=self.levels[0][index], index=index, nodes=nodes)


def proof_from(*, root: int, leaf: int, index: int, nodes: list[int | None]) -> MerkleProof:
    """Make a proof from the sibling of each level; levels without one are left out of path and index."""
    siblings: list[int] = []
    path = 0
    for level, node in enumerate(nodes):
        if node is None:
            continue
        path |= (index >> level & 1) << len(siblings)
        siblings.append(node)
    return MerkleProof(root=root, leaf=leaf, index=path, siblings=siblings)


def verify_merkle_proof(proof: MerkleProof) -> bool:
    """Tell whether a proof leads from its leaf to its root."""
    node = proof.leaf
    for level, sibling in enumerate(proof.siblings):
        node = poseidon([sibling, node]) if proof.index >> level & 1 else poseidon([node, sibling])
    return node == proof.root
