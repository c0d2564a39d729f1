"""Makes events and elections as the indexer would; hashes are computed, hence valid."""

import hashlib
import itertools

from elections import services
from elections.events import (
    BlockRef,
    CensusRootSet,
    ElectionCancelled,
    ElectionCreated,
    Event,
    Origin,
    TallyPublished,
    VoteCast,
)
from elections.models import ChainHead, Election

CHAIN_ID = 31337
CONTRACT = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
GENESIS_TIME = 1_790_000_000
BLOCK_SECONDS = 2
numbers = itertools.count(1)


def block_hash(number: int, fork: str = "") -> bytes:
    return hashlib.sha256(f"block {number} {fork}".encode()).digest()


def block(number: int, fork: str = "") -> BlockRef:
    return BlockRef(number=number, hash=block_hash(number, fork), timestamp=GENESIS_TIME + number * BLOCK_SECONDS)


def origin(number: int = 1, log_index: int = 0, *, contract: str = CONTRACT, fork: str = "") -> Origin:
    return Origin(
        chain_id=CHAIN_ID,
        contract=contract,
        block_number=number,
        block_hash=block_hash(number, fork),
        block_timestamp=GENESIS_TIME + number * BLOCK_SECONDS,
        tx_hash=hashlib.sha256(f"tx {number} {log_index} {fork}".encode()).digest(),
        log_index=log_index,
    )


def created(
    election_id: int = 1,
    *,
    at: int = 1,
    start_block: int = 10,
    end_block: int = 100,
    options: int = 3,
    metadata_hash: bytes = b"\x11" * 32,
    census_root: int | None = None,
    verifier: str | None = None,
    contract: str = CONTRACT,
    log_index: int = 0,
) -> ElectionCreated:
    return ElectionCreated(
        origin=origin(at, log_index, contract=contract),
        election_id=election_id,
        metadata_hash=metadata_hash,
        start_block=start_block,
        end_block=end_block,
        options=options,
        census_root=census_root,
        verifier=verifier,
    )


def vote(election_id: int = 1, choice: int = 0, *, at: int = 11, log_index: int = 0) -> VoteCast:
    return VoteCast(origin=origin(at, log_index), election_id=election_id, nullifier=next(numbers), choice=choice)


def tally(election_id: int = 1, totals: tuple[int, ...] = (0, 0, 0), *, at: int = 101) -> TallyPublished:
    return TallyPublished(origin=origin(at), election_id=election_id, totals=totals)


def cancelled(election_id: int = 1, *, at: int = 50) -> ElectionCancelled:
    return ElectionCancelled(origin=origin(at), election_id=election_id)


def census_root_set(election_id: int = 1, census_root: int = 7, *, at: int = 5) -> CensusRootSet:
    return CensusRootSet(origin=origin(at), election_id=election_id, census_root=census_root)


def head_at(number: int, *, safe: int | None = None, finalized: int | None = None) -> services.Changes:
    """Move the chain's head; by default nothing is safe yet."""
    return services.advance_head(
        chain_id=CHAIN_ID,
        head=block(number),
        safe_block=-1 if safe is None else safe,
        finalized_block=-1 if finalized is None else finalized,
    )


def election(election_id: int = 1, *events: Event, head: int | None = None, **members: object) -> Election:
    """Index an election's creation and further events, at a head (by default block 1's successor)."""
    if head is not None or not ChainHead.objects.exists():
        head_at(head or 2)
    services.apply_events(events=[created(election_id, **members), *events])  # type: ignore[arg-type]
    return Election.objects.get(chain_id=CHAIN_ID, contract=CONTRACT, election_id=election_id)
