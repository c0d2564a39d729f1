"""Facts that the chain states about elections, as frozen dataclasses handed over by the indexer.

Votes are accepted in blocks `start_block` to `end_block`, both included: with the head at `end_block` an election is
over, for the next block comes too late. Numbers are plain integers, whatever their width on chain.
"""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Origin:
    """Where on the chain a fact stands."""

    chain_id: int
    contract: str
    block_number: int
    block_hash: bytes
    block_timestamp: int
    tx_hash: bytes
    log_index: int


@dataclass(frozen=True, slots=True)
class ElectionCreated:
    """`census_root` and `verifier` are None for an open ballot: one vote per sender."""

    origin: Origin
    election_id: int
    metadata_hash: bytes
    start_block: int
    end_block: int
    options: int
    census_root: int | None
    verifier: str | None


@dataclass(frozen=True, slots=True)
class CensusRootSet:
    origin: Origin
    election_id: int
    census_root: int


@dataclass(frozen=True, slots=True)
class VoteCast:
    origin: Origin
    election_id: int
    nullifier: int
    choice: int


@dataclass(frozen=True, slots=True)
class TallyPublished:
    origin: Origin
    election_id: int
    totals: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ElectionCancelled:
    origin: Origin
    election_id: int


Event = ElectionCreated | CensusRootSet | VoteCast | TallyPublished | ElectionCancelled


@dataclass(frozen=True, slots=True)
class BlockRef:
    """A block by number and hash, with its time in Unix seconds."""

    number: int
    hash: bytes
    timestamp: int


@dataclass(frozen=True, slots=True)
class Change:
    """One election that changed: its public id and why.

    A reason is an event's name (`created`, `census_root_set`, `votes`, `tally`, `cancelled`), `status`, `finality`,
    `metadata`, `schedule`, `retracted` (a reorg took facts back) or `withdrawn` (it took the election itself back).
    """

    public_id: str
    reasons: frozenset[str]


@dataclass(frozen=True, slots=True)
class Changes:
    """What one transaction changed; `+` joins those of several calls, each election once."""

    items: tuple[Change, ...] = ()
    is_reorg: bool = False

    def __bool__(self) -> bool:
        return bool(self.items)

    def __iter__(self) -> Iterator[Change]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __add__(self, other: "Changes") -> "Changes":
        reasons: dict[str, frozenset[str]] = {}
        for item in (*self.items, *other.items):
            reasons[item.public_id] = reasons.get(item.public_id, frozenset()) | item.reasons
        items = tuple(Change(public_id, found) for public_id, found in reasons.items())
        return Changes(items, self.is_reorg or other.is_reorg)
