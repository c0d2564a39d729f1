"""Logs the rows of exports, anchors and verifications, so that each of their columns can be checked."""

from typing import Any
from uuid import UUID

from audit.models import Anchor, Export, Verification
from audit.registers import Register, spell_columns
from audit.services.recording import record


def record_row(register: Register, row: Export | Anchor | Verification, *, target: str, **others: Any) -> UUID:
    """Write the entry of a new row in the transaction that wrote it; its data has a member for each column.

    `others` are further members, which no column has.
    """
    columns = {str(field.column): getattr(row, field.attname) for field in row._meta.concrete_fields}
    return record(action=register.action, target=target, data=others | spell_columns(columns))
