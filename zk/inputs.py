"""The circuits' inputs: their JSON Schemas, and checks that foresee every constraint of the circuit.

A request is checked here, in about a millisecond, before anything is queued. What passes satisfies the circuit; the
circuit itself remains the judge.

Numbers that fit JSON's safe integers are JSON numbers; field elements are decimal strings, because JavaScript's
numbers lose their digits.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from eth_hash.auto import keccak

from zk.eddsa import SUBGROUP_ORDER
from zk.exceptions import InputNotValid
from zk.poseidon import FIELD_MODULUS

DEPTH = 20
N_OPTIONS = 10
N_BALLOTS = 128
MAX_VOTES = 2**16 - 1
MAX_BUDGET = 2**36 - 1
MAX_UINT256 = 2**256 - 1
MAX_ERRORS = 20
DECIMAL = re.compile(r"0|[1-9][0-9]{0,77}")

Inputs = dict[str, Any]


class Faults:
    """Collects what is wrong with an input; the first faults are told, a value never is."""

    def __init__(self) -> None:
        self.items: list[dict[str, str]] = []

    def add(self, pointer: str, code: str, detail: str) -> None:
        if len(self.items) < MAX_ERRORS:
            self.items.append({"pointer": pointer, "code": code, "detail": detail})

    def refuse(self) -> None:
        """Raise InputNotValid if there is a fault."""
        if self.items:
            raise InputNotValid(self.items)


def _take(faults: Faults, value: Any, names: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        faults.add("", "not_an_object", "The input must be a JSON object.")
        faults.refuse()
    unknown = [name for name in value if name not in names]
    for name in unknown[:MAX_ERRORS]:
        faults.add(f"/{str(name)[:60]}", "unknown_field", "Unknown field.")
    for name in names:
        if name not in value:
            faults.add(f"/{name}", "required", "This field is required.")
    faults.refuse()
    return dict(value)


def _element(faults: Faults, value: Any, pointer: str, *, below: int = FIELD_MODULUS, what: str = "") -> int:
    """Read a decimal string below a bound."""
    if not isinstance(value, str) or not DECIMAL.fullmatch(value):
        faults.add(
            pointer, "not_a_decimal_string", "Must be a decimal number in a string, without sign or zeros ahead."
        )
        return 0
    number = int(value)
    if number >= below:
        faults.add(pointer, "out_of_range", what or "Must be below the order of BN254's scalar field.")
        return 0
    return number


def _integer(faults: Faults, value: Any, pointer: str, *, minimum: int = 0, maximum: int) -> int:
    if type(value) is not int:
        faults.add(pointer, "not_an_integer", "Must be a JSON integer.")
        return 0
    if not minimum <= value <= maximum:
        faults.add(pointer, "out_of_range", f"Must be from {minimum} to {maximum}.")
        return 0
    return value


def _list(faults: Faults, value: Any, pointer: str, *, minimum: int, maximum: int) -> list[Any]:
    if not isinstance(value, list):
        faults.add(pointer, "not_a_list", "Must be a list.")
        return []
    if not minimum <= len(value) <= maximum:
        size = str(minimum) if minimum == maximum else f"{minimum} to {maximum}"
        faults.add(pointer, "wrong_size", f"Must hold {size} items.")
        return []
    return value


def _votes(faults: Faults, value: Any, pointer: str) -> list[int]:
    row = _list(faults, value, pointer, minimum=N_OPTIONS, maximum=N_OPTIONS)
    # The common case at full speed: a batch has 1,280 of these.
    if all(type(votes) is int and 0 <= votes <= MAX_VOTES for votes in row):
        return row
    return [_integer(faults, votes, f"{pointer}/{j}", maximum=MAX_VOTES) for j, votes in enumerate(row)]


def semaphore_hash(value: int) -> int:
    """Hash a message or scope into the field as Semaphore does: keccak256 of 32 bytes, without its last byte."""
    return int.from_bytes(keccak(value.to_bytes(32, "big")), "big") >> 8


def read_voice(value: Any) -> Inputs:
    """Check an input of `voice`."""
    faults = Faults()
    value = _take(faults, value, ("election", "budget", "votes", "salt"))
    inputs: Inputs = {
        "election": _element(faults, value["election"], "/election"),
        "budget": _integer(faults, value["budget"], "/budget", maximum=MAX_BUDGET),
        "votes": _votes(faults, value["votes"], "/votes"),
        "salt": _element(faults, value["salt"], "/salt"),
    }
    if not faults.items and sum(votes * votes for votes in inputs["votes"]) > inputs["budget"]:
        faults.add("/votes", "over_budget", "Constraint Σ votes² ≤ budget: the squares add up to more than the budget.")
    faults.refuse()
    return inputs


def read_batch_tally(value: Any) -> Inputs:
    """Check an input of `batch_tally`; short batches are padded here."""
    faults = Faults()
    value = _take(faults, value, ("election", "chainBefore", "votes", "salts"))
    rows = _list(faults, value["votes"], "/votes", minimum=1, maximum=N_BALLOTS)
    salts = _list(faults, value["salts"], "/salts", minimum=1, maximum=N_BALLOTS)
    if len(rows) != len(salts):
        faults.add("/salts", "wrong_size", "There must be one salt for each ballot.")
    votes = [_votes(faults, row, f"/votes/{i}") for i, row in enumerate(rows)]
    numbers = [_element(faults, salt, f"/salts/{i}") for i, salt in enumerate(salts)]
    inputs: Inputs = {
        "election": _element(faults, value["election"], "/election"),
        "chainBefore": _element(faults, value["chainBefore"], "/chainBefore"),
        "count": len(rows),
        "votes": votes + [[0] * N_OPTIONS] * (N_BALLOTS - len(rows)),
        "salts": numbers + [0] * (N_BALLOTS - len(rows)),
    }
    if not faults.items:
        seen: dict[tuple[int, ...], int] = {}
        for i, ballot in enumerate(zip(votes, numbers, strict=True)):
            first = seen.setdefault((ballot[1], *ballot[0]), i)
            if first != i:
                faults.add(f"/votes/{i}", "ballot_repeated", f"This ballot stands in the batch already, at {first}.")
    faults.refuse()
    return inputs


def read_eligibility(value: Any) -> Inputs:
    """Check an input of `eligibility`: Semaphore's signals, message and scope not yet hashed."""
    faults = Faults()
    names = ("secret", "merkleProofLength", "merkleProofIndex", "merkleProofSiblings", "message", "scope")
    value = _take(faults, value, names)
    order = "Must be below the order of BabyJubJub's prime subgroup."
    length = _integer(faults, value["merkleProofLength"], "/merkleProofLength", maximum=DEPTH)
    siblings = _list(faults, value["merkleProofSiblings"], "/merkleProofSiblings", minimum=length, maximum=DEPTH)
    elements = [_element(faults, node, f"/merkleProofSiblings/{i}") for i, node in enumerate(siblings)]
    if any(elements[length:]):
        faults.add("/merkleProofSiblings", "out_of_range", "Siblings past merkleProofLength must be 0.")
    uint256 = "Must be below 2^256."
    inputs: Inputs = {
        "secret": _element(faults, value["secret"], "/secret", below=SUBGROUP_ORDER, what=order),
        "merkleProofLength": length,
        "merkleProofIndex": _integer(
            faults, value["merkleProofIndex"], "/merkleProofIndex", maximum=max(2**length - 1, 0)
        ),
        "merkleProofSiblings": elements + [0] * (DEPTH - len(elements)),
        "message": _element(faults, value["message"], "/message", below=MAX_UINT256 + 1, what=uint256),
        "scope": _element(faults, value["scope"], "/scope", below=MAX_UINT256 + 1, what=uint256),
    }
    if not faults.items and inputs["secret"] == 0:
        faults.add("/secret", "out_of_range", "Everyone knows the identity of secret 0.")
    faults.refuse()
    inputs["message"] = semaphore_hash(inputs["message"])
    inputs["scope"] = semaphore_hash(inputs["scope"])
    return inputs


def _field(description: str, examples: list[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string", "pattern": f"^({DECIMAL.pattern})$", "description": description}
    return schema | ({"examples": examples} if examples else {})


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_VOTES = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": MAX_VOTES},
    "minItems": N_OPTIONS,
    "maxItems": N_OPTIONS,
    "description": "Votes for each of the ten options; unused options get 0.",
}


@dataclass(frozen=True, slots=True)
class InputKind:
    """How the inputs of a circuit of one name are described and read."""

    title: str
    description: str
    schema: dict[str, Any]
    read: Callable[[Any], Inputs]


KINDS = {
    "eligibility": InputKind(
        "Eligibility (Semaphore v4, depth 20)",
        "The voter is in the census and votes once in this election, without saying who.",
        _object(
            secret=_field("The identity's secret scalar"),
            merkleProofLength={"type": "integer", "minimum": 0, "maximum": DEPTH},
            merkleProofIndex={"type": "integer", "minimum": 0, "maximum": 2**DEPTH - 1},
            merkleProofSiblings={"type": "array", "items": _field("A node of the census tree"), "maxItems": DEPTH},
            message=_field("The choice, as a uint256; hashed before it enters the circuit"),
            scope=_field("The election's scope, as a uint256; hashed before it enters the circuit"),
        ),
        read_eligibility,
    ),
    "voice": InputKind(
        "Quadratic voice credits",
        "The squares of a committed ballot's votes add up to at most the budget.",
        _object(
            election=_field("The election's scope"),
            budget={"type": "integer", "minimum": 0, "maximum": MAX_BUDGET},
            votes=_VOTES,
            salt=_field("A random field element that hides the votes in the commitment"),
        ),
        read_voice,
    ),
    "batch_tally": InputKind(
        "Tally of up to 128 committed ballots",
        "The totals are those of exactly the ballots whose commitments lead from chainBefore to chainAfter.",
        _object(
            election=_field("The election's scope"),
            chainBefore=_field("The chain of commitments before this batch; 0 for the first"),
            votes={"type": "array", "items": _VOTES, "minItems": 1, "maxItems": N_BALLOTS},
            salts={"type": "array", "items": _field("The ballot's salt"), "minItems": 1, "maxItems": N_BALLOTS},
        ),
        read_batch_tally,
    ),
}
