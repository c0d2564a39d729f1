"""Reads of censuses: their state, members and Merkle proofs."""

from collections.abc import Sequence

from django.db import connection
from django.db.models import Q

from elections.exceptions import NotInCensus
from elections.models import Census, CensusMember, CensusNode, Election
from elections.selectors import get_election
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


# One statement sees one moment: between two of them a registration could move the root and the path's nodes.
MEMBERS_PATH = """
SELECT census.size, census.root, member."index", sibling.commitment, node.level, node.value
FROM elections_election election
JOIN elections_census census ON census.election_id = election.id
JOIN elections_censusmember member ON member.census_id = census.id AND member.commitment = %s
LEFT JOIN elections_censusmember sibling ON sibling.census_id = census.id AND sibling."index" = member."index" # 1
LEFT JOIN LATERAL (
    SELECT found.level, found.value
    FROM generate_series(1, 31) above (level)
    JOIN elections_censusnode found
      ON found.census_id = census.id AND found.level = above.level
      AND found."index" = (member."index" >> above.level) # 1
) node ON true
WHERE election.public_id = %s AND NOT election.is_withdrawn
"""


def get_merkle_proof(*, public_id: str, commitment: int) -> MerkleProof:
    """Return the proof of a member's place, read at one size of the tree.

    Raises NotInCensus, and as `get_election` for the election.
    """
    with connection.cursor() as cursor:
        cursor.execute(MEMBERS_PATH, [commitment, public_id])
        rows = cursor.fetchall()
    if not rows:
        get_election(public_id=public_id)
        raise NotInCensus
    size, root, index, beside = rows[0][:4]
    nodes = {level: int.from_bytes(value, "big") for *_, level, value in rows if level is not None}
    if beside is not None:
        nodes[0] = int(beside)
    # Every level that has a sibling must have given one: a lost row raises here and makes no wrong proof.
    values = [None if node is None else nodes[level] for level, node in enumerate(place(index, size))]
    return proof_from(root=int(root), leaf=commitment, index=index, nodes=values)


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
