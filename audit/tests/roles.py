"""Connections as the application's role and the sequencer's, which the suite's own superuser is not."""

from contextlib import contextmanager
from urllib.parse import quote

import psycopg
from django.db import connection

# Beginnings and wholes of statements that these roles try.
INSERT = "INSERT INTO audit_entry (id, created_at, action, actor, target, data, request_id"
LEAF = (
    "INSERT INTO audit_leaf (seq, entry_id, body, entry_hash)"
    " SELECT {}, id, '{{}}', sha256('x') FROM audit_entry WHERE action = 'tests.hidden'"
)


def conninfo(role: str = "postgres") -> str:
    parameters = connection.get_connection_params()
    keep = {name: parameters[name] for name in ("dbname", "host", "port") if parameters.get(name)}
    return psycopg.conninfo.make_conninfo(**keep, user=role)


@contextmanager
def as_role(role: str):
    with psycopg.connect(conninfo(role), autocommit=True) as other:
        yield other


def database_url(*, role: str = "postgres", database: str = "") -> str:
    """Spell the test database's address, or another's on its server, for a process of its own."""
    parts = psycopg.conninfo.conninfo_to_dict(conninfo(role))
    return f"postgresql://{role}@/{database or parts['dbname']}?host={quote(str(parts['host']), safe='')}"


RIGHTS = """
SELECT relname, privilege FROM pg_class, unnest(ARRAY[
    'SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER', 'MAINTAIN'
]) privilege
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p') AND (
    has_table_privilege(%(role)s, oid, privilege)
    OR privilege IN ('SELECT', 'INSERT', 'UPDATE', 'REFERENCES') AND has_any_column_privilege(%(role)s, oid, privilege)
)
UNION ALL
SELECT relname, privilege FROM pg_class, unnest(ARRAY['SELECT', 'USAGE', 'UPDATE']) privilege
WHERE relnamespace = 'public'::regnamespace AND relkind = 'S' AND has_sequence_privilege(%(role)s, oid, privilege)
UNION ALL
SELECT 'public', privilege FROM unnest(ARRAY['USAGE', 'CREATE']) privilege
WHERE has_schema_privilege(%(role)s, 'public', privilege)
"""


def rights_of(role: str, database: str = "") -> dict[str, set[str]]:
    """Return what a role may do to each table (or to a column of it), sequence and schema, however it came to that."""
    found: dict[str, set[str]] = {}
    with psycopg.connect(database or conninfo(), autocommit=True) as superuser:
        for name, privilege in superuser.execute(RIGHTS, {"role": role}):
            found.setdefault(name, set()).add(privilege)
    return found
