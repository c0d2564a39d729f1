"""Compares exports, anchors and verifications with the entries that were logged with them, column by column.

What an entry says is taken from its leaf, which the chain and the tree vouch for. The check of the chunks compares each
leaf's bytes with the entry's row and with its hash, and adds what the partial index, by which the entries are looked up
here, does not show. An entry that has no number yet counts as it stands; the next run sees its leaf.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import psycopg
from psycopg.rows import dict_row
from psycopg.types.datetime import TimestamptzLoader
from psycopg.types.json import set_json_loads

from audit.canonical import canonical_data, load_data
from audit.registers import REGISTER_ACTIONS, REGISTERS, VERIFICATIONS, Register, spell_columns
from audit.verification.database.rows import shortened
from audit.verification.report import Finding

# The actions as literals, or the planner could not tell that the partial index holds them all.
LOGGED = f"""
SELECT id::text, action, target, data FROM audit_entry
WHERE action IN ({", ".join(f"'{action}'" for action in REGISTER_ACTIONS)}) ORDER BY audit_entry.id
"""  # noqa: S608
LEAVES = "SELECT entry_id::text, seq, body FROM audit_leaf WHERE entry_id = ANY(%s::uuid[])"
NOT_LOGGED = "nothing"

Columns = dict[str, Any]


@dataclass(slots=True)
class Logged:
    """An entry that vouches for a row."""

    seq: int | None
    target: str
    columns: Columns

    @property
    def name(self) -> str:
        return "an entry without a number" if self.seq is None else f"entry {self.seq}"


@dataclass(slots=True)
class Registered:
    """The rows of a table and the entries that vouch for them, as of one moment."""

    register: Register
    rows: list[Columns] = field(default_factory=list)
    entries: list[Logged] = field(default_factory=list)


class MomentLoader(TimestamptzLoader):
    """Reads a time; what Python has no moment for (`infinity`) as PostgreSQL spells it."""

    def load(self, data: Any) -> Any:
        try:
            return super().load(data)
        except psycopg.DataError:
            return bytes(data).decode()


def read_registers(connection: psycopg.Connection) -> list[Registered]:
    """Read the three tables and their entries, all as of one moment: a row and its entry commit together."""
    found = {register.action: Registered(register) for register in REGISTERS}
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        # A scan of the log would take longer than the whole check; without statistics, the planner may think otherwise.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL timezone = 'UTC'")
        cursor.adapters.register_loader("timestamptz", MomentLoader)
        set_json_loads(load_data, cursor)  # type: ignore[arg-type]  # it is given bytes
        entries = cursor.execute(LOGGED).fetchall()
        leaves = {
            leaf["entry_id"]: leaf for leaf in cursor.execute(LEAVES, [[entry["id"] for entry in entries]]).fetchall()
        }
        for registered in found.values():
            # All columns, whatever they are: one that is not logged is found.
            query = f"SELECT * FROM {registered.register.table} ORDER BY id"  # noqa: S608
            registered.rows = [spell_columns(row) for row in cursor.execute(query)]
    for entry in entries:
        leaf = leaves.get(entry["id"])
        content = content_of(leaf["body"]) if leaf else None
        add_entry(found, leaf["seq"] if leaf else None, content or entry)
    return list(found.values())


def add_from_leaves(registered: list[Registered], leaves: list[tuple[int, bytes]]) -> None:
    """Add the entries that the lookup did not show, from the numbers and bytes of their leaves."""
    known = {logged.seq for one in registered for logged in one.entries}
    found = {one.register.action: one for one in registered}
    for seq, body in leaves:
        if seq not in known:
            add_entry(found, seq, content_of(body) or {})


def add_entry(found: dict[str, Registered], seq: int | None, content: dict[str, Any]) -> None:
    if content.get("action") in found:
        data = content.get("data")
        logged = Logged(seq, str(content.get("target")), data if isinstance(data, dict) else {})
        found[content["action"]].entries.append(logged)


def content_of(body: str | bytes) -> dict[str, Any] | None:
    """Parse a leaf's bytes; None for what is no entry, which the check of the chunks names."""
    try:
        content = orjson.loads(body)
        orjson.dumps(content)  # it parses what is too deep for it to write
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return None
    return content if isinstance(content, dict) else None


def name_checkpoints(registered: list[Registered]) -> Iterator[tuple[int, str]]:
    """Name the sizes of the checkpoints that exports and anchors were made from, by what the log says."""
    for one in registered:
        if one.register is VERIFICATIONS:  # of what is there, signed or not
            continue
        for logged in one.entries:
            for name in ("first_seq", "tree_size"):
                size = logged.columns.get(name)
                if isinstance(size, int) and size:
                    yield size, one.register.place_of(logged.columns, logged.target)


def check_registers(registered: list[Registered]) -> Iterator[Finding]:
    """Compare every row with its entry and every entry with its row."""
    for one in registered:
        yield from check_register(one)


def check_register(registered: Registered) -> Iterator[Finding]:
    register = registered.register
    pairs, rows, entries = match(registered.rows, registered.entries)
    for row, logged in pairs:
        place = register.place_of(logged.columns, logged.target)
        for name, value in row.items():
            if name not in logged.columns or value != logged.columns[name]:
                was = shortened(logged.columns[name]) if name in logged.columns else NOT_LOGGED
                yield Finding(register.part, place, f"{name}: is {shortened(value)}, was logged as {was}")
    for row in rows:
        place = register.place_of(row, "a row")
        yield Finding(register.part, place, f"no entry of the log vouches for its row (id {row.get('id')})")
    known = {spell(logged.columns.get("id")): logged for _, logged in pairs}
    for logged in entries:
        place = register.place_of(logged.columns, logged.target)
        if first := known.get(spell(logged.columns.get("id"))):
            yield Finding(register.part, place, f"is logged twice, by {first.name} and {logged.name}")
        else:
            yield Finding(register.part, place, f"its row is gone, {logged.name} vouches for it")


def match(
    rows: list[Columns], entries: list[Logged]
) -> tuple[list[tuple[Columns, Logged]], list[Columns], list[Logged]]:
    """Pair rows with entries: those that say the same, then those of one id, then those that differ in the id alone.

    One entry vouches for one row: a second row for it, or a second entry for a row, is returned as left over.
    """
    names = sorted({name for row in rows for name in row})
    pairs: list[tuple[Columns, Logged]] = []
    for compared in (names, ["id"], [name for name in names if name != "id"]):
        waiting: dict[str, list[Logged]] = defaultdict(list)
        for logged in entries:
            waiting[key_of(logged.columns, compared)].append(logged)
        left = []
        for row in rows:
            if alike := waiting.get(key_of(row, compared)):
                pairs.append((row, alike.pop(0)))
            else:
                left.append(row)
        rows, entries = left, [logged for alike in waiting.values() for logged in alike]
    return pairs, rows, entries


def key_of(columns: Columns, names: list[str]) -> str:
    return " ".join(spell(columns[name]) if name in columns else NOT_LOGGED for name in names)


def spell(value: Any) -> str:
    return canonical_data(value).decode()
