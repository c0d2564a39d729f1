"""Reads of censuses: their state, members and Merkle proofs."""

from collections.abc import Sequence

from django.db.models import Q

from elections.exceptions import NotInCensus
from elections.models import Census, CensusMember, CensusNode, Election
from zk.services import MerkleProof, depth_of, place, proof_from

MAX_MEMBERS_PAGE = 10_000


def get_census(*, election: Election) -> Census:
    """Return an election's census; an unsaved, empty one before the first registration."""
    return Census.objects.filter(election=election).first() or Census(election=election)


def list_commitments(*, census: Census, offset: int, limit: int) -> list[int]:
    """List commitments in the tree's order, so that a voter can build the tree without naming a leaf."""
    if census.pk is None:
        return []
    members = census.members.filter(index__gte=offset, index__lt=offset + min(limit, MAX_MEMBERS_PAGE))
    return list(members.order_by("index").values_list("commitment", flat=True))


def get_merkle_proof(*, census: Census, commitment: int) -> MerkleProof:
    """Return the proof of a member's place, read at one size of the tree; raise NotInCensus."""
    member = None
    if census.pk is not None:
        member = CensusMember.objects.filter(census=census, commitment=commitment).values_list("index").first()
    if member is None:
        raise NotInCensus
    index = member[0]
    siblings = place(index, census.size)
    nodes = read_nodes(census=census, places=[(level, node) for level, node in enumerate(siblings) if node is not None])
    values = [None if node is None else nodes[level, node] for level, node in enumerate(siblings)]
    return proof_from(root=census.root, leaf=commitment, index=index, nodes=values)


def read_nodes(*, census: Census, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], int]:
    """Read nodes by level and index; level 0 are the members."""
    found: dict[tuple[int, int], int] = {}
    leaves = [index for level, index in places if level == 0]
    if leaves:
        rows = CensusMember.objects.filter(census=census, index__in=leaves).values_list("index", "commitment")
        found |= {(0, index): commitment for index, commitment in rows}
    above = [place for place in places if place[0] > 0]
    if above:
        # One condition for each place: the unique index answers each.
        condition = Q()
        for level, index in above:
            condition |= Q(level=level, index=index)
        nodes = CensusNode.objects.filter(condition, census=census).values_list("level", "index", "value")
        found |= {(level, index): int.from_bytes(value, "big") for level, index, value in nodes}
    return found


def get_depth(*, census: Census) -> int:
    """Return the depth of a census tree."""
    return depth_of(census.size)
