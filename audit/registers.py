"""The tables of exports, anchors and verifications: each row is logged column by column, so that it can be checked.

Pure: the verification imports it without Django. `docs/audit-log.md` is its text.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from audit.canonical import canonical_data, canonical_time
from audit.redaction import MAX_SAFE_INTEGER


@dataclass(frozen=True, slots=True)
class Register:
    """A table, and the action of the entries that are written together with its rows."""

    part: str
    table: str
    action: str
    place: str  # how findings call a row

    def place_of(self, columns: Mapping[str, Any], otherwise: str) -> str:
        try:
            return self.place.format_map(columns)
        except KeyError:
            return otherwise


EXPORTS = Register("exports", "audit_export", "audit.log.exported", "export {name}")
ANCHORS = Register("anchors", "audit_anchor", "audit.log.anchored", "anchor of size {tree_size}")
VERIFICATIONS = Register("verifications", "audit_verification", "audit.log.verified", "verification {id}")
REGISTERS = (EXPORTS, ANCHORS, VERIFICATIONS)
REGISTER_ACTIONS = [register.action for register in REGISTERS]


def spell_columns(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Spell a row's columns as the data of its entry has them, one member a column.

    Times are canonical, bytes hexadecimal; JSON is its digest, as it may be longer than an entry.
    """
    return {name: _spell(value) for name, value in columns.items()}


def _spell(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_SAFE_INTEGER else str(value)
    if isinstance(value, datetime):
        return canonical_time(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "0x" + bytes(value).hex()
    if isinstance(value, (list, dict)):
        return {"items": len(value), "sha256": hashlib.sha256(canonical_data(value)).hexdigest()}
    return str(value)
