"""A circuit's constraints, and which of them a changed witness breaks."""

import struct
from functools import cache

from zk.prover.witness import FIELD_MODULUS as P
from zk.prover.witness import SIGNAL_BYTES
from zk.registry import find_circuit
from zk.tests.forging import HEADER_BYTES

Terms = list[tuple[int, int]]


def values_of(witness: bytes) -> list[int]:
    body = witness[HEADER_BYTES:]
    return [int.from_bytes(body[i : i + SIGNAL_BYTES], "little") for i in range(0, len(body), SIGNAL_BYTES)]


def sections_of(content: bytes) -> dict[int, memoryview]:
    """Split a file of circom's or snarkjs's binary format (.r1cs, .zkey) by its sections' numbers."""
    view, position, sections = memoryview(content), 12, {}
    while position < len(view):
        number, size = struct.unpack_from("<IQ", view, position)
        sections[number] = view[position + 12 : position + 12 + size]
        position += 12 + size
    return sections


class Constraints:
    """All constraints A · B = C of a circuit; each part is a list of (wire, coefficient)."""

    def __init__(self, content: bytes) -> None:
        sections = sections_of(content)
        _, n_outputs, n_public, n_private, _, n_constraints = struct.unpack_from("<IIIIQI", sections[1], 4 + 32)
        # Wire 0 is the constant 1; then come outputs, public inputs, private inputs, and what the circuit computes.
        self.inputs = range(1 + n_outputs, 1 + n_outputs + n_public + n_private)
        body, position = bytes(sections[2]), 0
        self.parts: list[list[Terms]] = []
        known: dict[bytes, int] = {}
        for _ in range(n_constraints):
            parts = []
            for _ in range(3):
                (count,) = struct.unpack_from("<I", body, position)
                terms = []
                for start in range(position + 4, position + 4 + 36 * count, 36):
                    raw = body[start + 4 : start + 36]
                    coefficient = known.get(raw)
                    if coefficient is None:
                        coefficient = known[raw] = int.from_bytes(raw, "little")
                    terms.append((int.from_bytes(body[start : start + 4], "little"), coefficient))
                position += 4 + 36 * count
                parts.append(terms)
            self.parts.append(parts)
        # Where each wire stands: (constraint, part, coefficient).
        self.places: dict[int, list[tuple[int, int, int]]] = {}
        for index, parts in enumerate(self.parts):
            for part, terms in enumerate(parts):
                for wire, coefficient in terms:
                    self.places.setdefault(wire, []).append((index, part, coefficient))

    def against(self, values: list[int]) -> "Satisfied":
        """Check every constraint against a witness, which must satisfy all."""
        return Satisfied(self, values)


class Satisfied:
    """Constraints with a witness that satisfies them: says at once what a change of it breaks."""

    def __init__(self, constraints: Constraints, values: list[int]) -> None:
        self.constraints, self.values = constraints, values
        self.sums = [
            tuple(sum(coefficient * values[wire] for wire, coefficient in terms) % P for terms in parts)
            for parts in constraints.parts
        ]
        assert all((a * b - c) % P == 0 for a, b, c in self.sums), "the witness is not valid to begin with"

    def broken_by(self, changes: dict[int, int]) -> int | None:
        """Return the first constraint found broken when wires take other values, None if all still hold."""
        moved: dict[int, list[int]] = {}
        for wire, value in changes.items():
            delta = value - self.values[wire]
            for index, part, coefficient in self.constraints.places.get(wire, ()):
                moved.setdefault(index, list(self.sums[index]))[part] += coefficient * delta
        return next((index for index, (a, b, c) in moved.items() if (a * b - c) % P), None)

    def find_free_wires(self, delta: int) -> list[int]:
        """Add a number to each signal alone, and return those whose change no constraint notices."""
        values = self.values
        return [wire for wire in range(1, len(values)) if self.broken_by({wire: values[wire] + delta}) is None]

    def find_free_directions(self) -> list[int]:
        """Return signals that could move a little, together with any others, while the inputs stand still.

        The constraints' derivatives are solved for all signals but the inputs: where none is left over, no witness
        near this one has these inputs and another output, however many signals are changed at once.
        """
        given = {0, *self.constraints.inputs}
        rows = []
        for (left, right, out), (a, b, _) in zip(self.constraints.parts, self.sums, strict=True):
            row: dict[int, int] = {}
            for terms, factor in ((left, b), (right, a), (out, -1)):
                for wire, coefficient in terms:
                    if wire not in given:
                        row[wire] = (row.get(wire, 0) + coefficient * factor) % P
            rows.append({wire: slope for wire, slope in row.items() if slope})
        # Most signals are the only unknown of some constraint once those before them are known.
        standing: dict[int, list[int]] = {}
        for index, row in enumerate(rows):
            for wire in row:
                standing.setdefault(wire, []).append(index)
        ready, bound = [row for row in rows if len(row) == 1], set()
        while ready:
            for wire in list(ready.pop()):
                bound.add(wire)
                for index in standing.pop(wire):
                    del rows[index][wire]
                    if len(rows[index]) == 1:
                        ready.append(rows[index])
        # The rest by Gauss's elimination, short rows first.
        solved: dict[int, dict[int, int]] = {}
        for row in sorted(rows, key=len):
            while row and (wire := max(row)) in solved:
                factor = row[wire]
                for other, slope in solved[wire].items():
                    row[other] = (row.get(other, 0) - factor * slope) % P
                    if not row[other]:
                        del row[other]
            if row:
                inverse = pow(row[wire], -1, P)
                solved[wire] = {other: slope * inverse % P for other, slope in row.items()}
        known = given | bound | solved.keys()
        return [wire for wire in range(1, len(self.values)) if wire not in known]


@cache
def constraints_of(name: str) -> Constraints:
    return Constraints(find_circuit(name).path("r1cs").read_bytes())
