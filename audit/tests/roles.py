"""Connections as the application's role, which the suite's own superuser is not."""

from contextlib import contextmanager
from urllib.parse import quote

import psycopg
from django.db import connection


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
