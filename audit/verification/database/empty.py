"""Names the columns that are empty (NULL): no table of the log allows it, and no check can work with one."""

from collections.abc import Iterator

import psycopg

from audit.verification.report import Finding

MAX_ROWS = 100  # of each table
PLACES = {
    "audit_entry": (
        "entries",
        "coalesce((SELECT 'entry ' || leaf.seq FROM audit_leaf leaf WHERE leaf.entry_id = one.id),"
        " concat('entry ', one.id))",
    ),
    "audit_leaf": ("entries", "concat('entry ', one.seq)"),
    "audit_tile": ("tiles", "concat('tile ', one.level, '/', one.index)"),
    "audit_checkpoint": ("checkpoints", "concat('checkpoint ', one.id)"),
}


def find_empty(connection: psycopg.Connection) -> Iterator[Finding]:
    """Look through the whole log; asked only when a check broke, as PostgreSQL itself refuses such rows."""
    for table, (part, place) in PLACES.items():
        query = f"""
        SELECT {place}, ARRAY(SELECT key FROM jsonb_each(to_jsonb(one)) WHERE value = 'null' ORDER BY key)
        FROM {table} one WHERE NOT (one IS NOT NULL) LIMIT {MAX_ROWS}
        """  # noqa: S608
        for at, names in connection.execute(query):
            for name in names:
                yield Finding(part, at, f"{name}: is empty, which {table} does not allow")
