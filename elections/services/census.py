"""The census of a secret ballot: registration, its Merkle tree, and its end on the chain."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import Identity, User
from accounts.services import actor_of
from audit.services import record
from elections.census_selectors import get_census, get_depth, read_nodes
from elections.exceptions import (
    AlreadyRegistered,
    CensusEmpty,
    CensusFull,
    CommitmentTaken,
    EidRequired,
    ElectionFinished,
    NoCensus,
    PossessionNotProved,
    RegistrationClosed,
)
from elections.models import Census, CensusMember, CensusNode, ChainHead, Election, Status
from elections.selectors import get_election
from jobs.models import Job
from jobs.services import start
from zk.services import (
    CENSUS_DEPTH,
    LeanIMT,
    Signature,
    commitment_of,
    depth_of,
    election_scope,
    poseidon,
    verify_signature,
)

Point = tuple[int, int]


def scope_of(election: Election) -> int:
    """Return the scope that an election's proofs and registrations are bound to."""
    return election_scope(chain_id=election.chain_id, contract=election.contract, election_id=int(election.election_id))


def is_registration_open(*, election: Election, census: Census, head: ChainHead | None) -> bool:
    """Tell whether people may register: until some blocks before the start, in which the root goes on chain."""
    if election.verifier is None or election.census_root is not None or census.closed_at is not None:
        return False
    if election.status != Status.PENDING:
        return False
    return head is None or head.number < registration_end_block(election)


def registration_end_block(election: Election) -> int:
    return max(int(election.start_block) - settings.ELECTIONS_CENSUS_CLOSING_BLOCKS, 0)


@dataclass(frozen=True, slots=True)
class CensusState:
    """An election's census, and whether people may register in it now."""

    election: Election
    census: Census
    is_open: bool

    def figures(self) -> dict[str, Any]:
        """Write down everything but the members."""
        election, census = self.election, self.census
        return {
            "election": election.public_id,
            "scope": scope_of(election),
            "is_open": self.is_open,
            "registration_ends": registration_end_block(election) if election.verifier else None,
            "size": census.size,
            "depth": get_depth(census=census),
            "root": int(census.root),
            "root_on_chain": None if election.census_root is None else int(election.census_root),
        }


def read_census(*, public_id: str) -> CensusState:
    """Read the state of an election's census."""
    election = get_election(public_id=public_id)
    census = get_census(election=election)
    return CensusState(election, census, is_registration_open(election=election, census=census, head=election.head))


def subject_digest_of(*, user: User, election: Election) -> str:
    """Hash a person's eID subject with a key, differently for each election; raise EidRequired without one."""
    identity = Identity.objects.filter(user=user).order_by("pk").first()
    if identity is None:
        raise EidRequired
    text = "\n".join([election.public_id, identity.issuer, identity.subject])
    return hmac.new(settings.CENSUS_KEY.encode(), text.encode(), hashlib.sha256).hexdigest()


@transaction.atomic
def register_voter(*, user: User, public_id: str, public_key: Point, signature: Signature) -> tuple[CensusMember, bool]:
    """Register a Semaphore identity in an election's census; return the member, and whether it is new.

    The signature is the identity's own over the election's scope: it proves possession, so nobody registers what
    another will need. A repeated registration of the same identity gives back the first. Raises EidRequired,
    PossessionNotProved, NoCensus, RegistrationClosed, AlreadyRegistered, CommitmentTaken, CensusFull.
    """
    election = get_election(public_id=public_id)
    if election.verifier is None:
        raise NoCensus
    digest = subject_digest_of(user=user, election=election)
    # Before any lock is held: it takes milliseconds.
    if not verify_signature(public_key=public_key, signature=signature, message=scope_of(election)):
        raise PossessionNotProved
    commitment = commitment_of(public_key)
    census = lock_census(election)
    known = census.members.filter(subject_digest=digest).first()
    if known is not None:
        if known.commitment != commitment:
            raise AlreadyRegistered
        return known, False
    if election.census_root is not None and census.closed_at is None:
        raise NoCensus
    head = ChainHead.objects.filter(pk=election.chain_id).first()
    if not is_registration_open(election=election, census=census, head=head):
        raise RegistrationClosed
    if census.members.filter(commitment=commitment).exists():
        raise CommitmentTaken
    if census.size >= 2**CENSUS_DEPTH:
        raise CensusFull
    member = CensusMember.objects.create(census=census, index=census.size, commitment=commitment, subject_digest=digest)
    append_leaf(census=census, commitment=commitment)
    # Which commitment is whose stays out of the public log.
    record(action="elections.census.registered", actor=actor_of(user), target=election.target)
    return member, True


def lock_census(election: Election) -> Census:
    """Lock an election's census for the rest of the transaction, creating it the first time."""
    Census.objects.get_or_create(election=election)
    locked: Census = Census.objects.select_for_update().get(election=election)
    return locked


def append_leaf(*, census: Census, commitment: int) -> None:
    """Add a leaf to a locked census: the nodes on its path are written, one for each level."""
    index, size = census.size, census.size + 1
    depth = depth_of(size)
    # A left sibling exists where the path comes from the right.
    places = [(level, (index >> level) - 1) for level in range(depth) if index >> level & 1]
    left = read_nodes(census=census, places=places)
    node, rows = commitment, []
    for level in range(depth):
        if index >> level & 1:
            node = poseidon([left[level, (index >> level) - 1], node])
        rows.append(node_row(census, level + 1, index >> (level + 1), node))
    write_nodes(rows)
    census.size, census.root = size, node
    census.save(update_fields=["size", "root"])


def node_row(census: Census, level: int, index: int, value: int) -> CensusNode:
    return CensusNode(census=census, level=level, index=index, value=value.to_bytes(32, "big"))


def write_nodes(rows: Iterable[CensusNode]) -> None:
    CensusNode.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["census", "level", "index"],
        update_fields=["value"],
    )


@transaction.atomic
def rebuild_census(*, election: Election) -> int:
    """Compute a census tree anew from its members and return the root: an operator's repair and check."""
    census = lock_census(election)
    leaves = list(census.members.order_by("index").values_list("commitment", flat=True))
    tree = LeanIMT(leaves)
    census.nodes.all().delete()
    # By COPY: a hundred thousand rows at once, and no object for each.
    with (
        connection.cursor() as cursor,
        cursor.copy('COPY elections_censusnode (census_id, level, "index", value) FROM STDIN') as copy,
    ):
        for level, values in enumerate(tree.levels[1:], 1):
            copy.write(
                "".join(f"{census.pk}\t{level}\t{index}\t\\\\x{value:064x}\n" for index, value in enumerate(values))
            )
    census.size, census.root = tree.size, tree.root
    census.save(update_fields=["size", "root"])
    record(action="elections.census.rebuilt", target=election.target, data={"size": tree.size, "root": hex(tree.root)})
    return tree.root


@transaction.atomic
def close_registration(*, public_id: str, owner: User | None = None, idempotency_key: str = "") -> Job:
    """End registration and start the job that sets the census root on chain.

    May be called again while the chain has no root, should the job have failed. Raises NoCensus, CensusEmpty,
    ElectionFinished, RegistrationClosed once voting has begun.
    """
    election = get_election(public_id=public_id)
    if election.verifier is None or election.census_root is not None:
        raise NoCensus
    if election.status in (Status.TALLIED, Status.CANCELLED):
        raise ElectionFinished
    if election.status != Status.PENDING:
        raise RegistrationClosed
    census = lock_census(election)
    if census.size == 0:
        raise CensusEmpty
    return close(election, census, owner=owner, idempotency_key=idempotency_key)


def close(election: Election, census: Census, *, owner: User | None, idempotency_key: str = "") -> Job:
    data = {
        "chain_id": election.chain_id,
        "contract": election.contract,
        "election_id": int(election.election_id),
        "census_root": f"0x{int(census.root):064x}",
    }
    job = start(type="chain.set_census_root", input=data, owner=owner, idempotency_key=idempotency_key)
    if not job.is_replay:
        if census.closed_at is None:
            census.closed_at = timezone.now()
            census.save(update_fields=["closed_at"])
        record(
            action="elections.census.closed",
            actor=actor_of(owner) if owner else None,
            target=election.target,
            data={"size": census.size, "root": data["census_root"], "job_id": str(job.pk)},
        )
    return job


def close_due_censuses(*, head: ChainHead) -> int:
    """Close registration where the start is near, in the indexer's transaction; return how many."""
    due = Election.objects.visible().filter(
        chain_id=head.chain_id,
        status=Status.PENDING,
        start_block__lte=head.number + settings.ELECTIONS_CENSUS_CLOSING_BLOCKS,
        verifier__isnull=False,
        census_root__isnull=True,
        census__closed_at__isnull=True,
        census__size__gt=0,
    )
    elections = list(due.order_by("pk"))
    for election in elections:
        close(election, lock_census(election), owner=None)
    return len(elections)
