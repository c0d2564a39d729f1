"""Profiles: what a contract's events are, and which fact about an election each of them means.

Two forms of a contract may share a topic 0 and differ in what is indexed, so a profile, never a guess, decides.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chain.abi import artifact, topic0
from chain.decoding import EventDecoder, generate
from elections.events import (
    CensusRootSet,
    ElectionCancelled,
    ElectionCreated,
    Event,
    Origin,
    TallyPublished,
    VoteCast,
)

ZERO_ADDRESS = "0x" + "0" * 40
Meaning = Callable[[Origin, tuple[Any, ...], Mapping[str, Any] | None], Event | None]


@dataclass(frozen=True)
class StateRead:
    """A view that is called beside an event, at the event's block, because the event says too little."""

    function: str
    argument: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Profile:
    """How one kind of contract is read."""

    name: str
    abi: list[dict[str, Any]]
    # Position of the election's id among each event's arguments.
    id_positions: Mapping[str, int]
    meanings: Mapping[str, Meaning]
    reads: Mapping[str, StateRead] = field(default_factory=dict)
    artifact_name: str = ""

    @functools.cached_property
    def decoders(self) -> dict[str, EventDecoder]:
        """The decoders of every event of the ABI, by topic 0."""
        return {topic0(entry): generate(entry) for entry in self.abi if entry["type"] == "event"}

    def event(
        self, name: str, origin: Origin, arguments: tuple[Any, ...], context: Mapping[str, Any] | None
    ) -> Event | None:
        """Return the fact that a decoded log states, or None for an event that says nothing about elections."""
        meaning = self.meanings.get(name)
        return meaning(origin, arguments, context) if meaning else None


def optional_address(address: str) -> str | None:
    return None if address == ZERO_ADDRESS else address


def psephos_created(origin: Origin, arguments: tuple[Any, ...], context: Any) -> Event:
    election_id, metadata_hash, start, end, options, census_root, verifier = arguments
    return ElectionCreated(
        origin, election_id, metadata_hash, start, end, options, census_root or None, optional_address(verifier)
    )


def toting_created(positions: tuple[int, int, int]) -> Meaning:
    id_at, meta_at, verifier_at = positions

    def created(origin: Origin, arguments: tuple[Any, ...], context: Mapping[str, Any] | None) -> Event:
        # The event has no dates and no options: the dates were read beside it, and a tally has two totals.
        assert context is not None
        return ElectionCreated(
            origin,
            arguments[id_at],
            arguments[meta_at],
            int(context["start"]),
            int(context["end"]),
            2,
            None,
            optional_address(arguments[verifier_at]),
        )

    return created


def toting_tally(origin: Origin, arguments: tuple[Any, ...], context: Any) -> Event:
    return TallyPublished(origin, arguments[0], (arguments[1], arguments[2]))


TOTING_READS = {"ElectionCreated": StateRead("elections", 0, ("start", "end"))}
TOTING_IDS = {"ElectionCreated": 0, "Tally": 0}


@functools.cache
def profiles() -> dict[str, Profile]:
    """Return every known profile by name."""
    found = [
        Profile(
            name="psephos",
            artifact_name="ElectionManager",
            abi=artifact("ElectionManager")["abi"],
            id_positions={
                "ElectionCreated": 0,
                "CensusRootSet": 0,
                "VoteCast": 0,
                "TallyPublished": 0,
                "ElectionCancelled": 0,
            },
            meanings={
                "ElectionCreated": psephos_created,
                "CensusRootSet": lambda origin, arguments, _: CensusRootSet(origin, *arguments),
                "VoteCast": lambda origin, arguments, _: VoteCast(origin, *arguments),
                "TallyPublished": lambda origin, arguments, _: TallyPublished(
                    origin, arguments[0], tuple(arguments[1])
                ),
                "ElectionCancelled": lambda origin, arguments, _: ElectionCancelled(origin, *arguments),
            },
        ),
        Profile(
            name="toting-v2",
            artifact_name="TotingV2",
            abi=artifact("TotingV2")["abi"],
            id_positions=TOTING_IDS,
            meanings={"ElectionCreated": toting_created((0, 1, 2)), "Tally": toting_tally},
            reads=TOTING_READS,
        ),
        Profile(
            name="toting-v2-older",
            artifact_name="TotingV2Older",
            abi=artifact("TotingV2Older")["abi"],
            id_positions=TOTING_IDS,
            meanings={"ElectionCreated": toting_created((0, 1, 2)), "Tally": toting_tally},
            reads=TOTING_READS,
        ),
    ]
    return {profile.name: profile for profile in found}
