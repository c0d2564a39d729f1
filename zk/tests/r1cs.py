"""Reads a circuit's constraints, and says which of them a changed witness breaks."""

import struct
from pathlib import Path

from zk.prover.witness import FIELD_MODULUS as P
from zk.prover.witness import SIGNAL_BYTES
from zk.tests.forging import HEADER_BYTES


def read_constraints(path: Path) -> list[tuple[list[tuple[int, int]], ...]]:
    """Return each constraint A · B = C as three lists of (wire, coefficient)."""
    content = memoryview(path.read_bytes())
    position, sections = 12, {}
    while position < len(content):
        number, size = struct.unpack_from("<IQ", content, position)
        sections[number] = content[position + 12 : position + 12 + size]
        position += 12 + size
    n_constraints = struct.unpack_from("<I", sections[1], 4 + 32 + 24)[0]
    body, position, constraints = sections[2], 0, []
    for _ in range(n_constraints):
        parts = []
        for _ in range(3):
            count = struct.unpack_from("<I", body, position)[0]
            position += 4
            terms = []
            for _ in range(count):
                wire = struct.unpack_from("<I", body, position)[0]
                terms.append((wire, int.from_bytes(body[position + 4 : position + 36], "little")))
                position += 36
            parts.append(terms)
        constraints.append(tuple(parts))
    return constraints


def values_of(witness: bytes) -> list[int]:
    body = witness[HEADER_BYTES:]
    return [int.from_bytes(body[i : i + SIGNAL_BYTES], "little") for i in range(0, len(body), SIGNAL_BYTES)]


def find_free_wires(constraints, values: list[int], delta: int) -> list[int]:
    """Add a number to each signal alone, and return those whose change no constraint notices."""
    sums = []
    by_wire: dict[int, dict[int, list[int]]] = {}
    for index, parts in enumerate(constraints):
        sums.append([sum(coefficient * values[wire] for wire, coefficient in terms) % P for terms in parts])
        for part, terms in enumerate(parts):
            for wire, coefficient in terms:
                by_wire.setdefault(wire, {}).setdefault(index, [0, 0, 0])[part] += coefficient
    assert all((a * b - c) % P == 0 for a, b, c in sums), "the witness is not valid to begin with"
    free = []
    for wire in range(1, len(values)):
        for index, (da, db, dc) in by_wire.get(wire, {}).items():
            a, b, c = sums[index]
            if ((a + da * delta) * (b + db * delta) - (c + dc * delta)) % P:
                break
        else:
            free.append(wire)
    return free
