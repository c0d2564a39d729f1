"""Connections as the application's role, which the suite's own superuser is not."""

from contextlib import contextmanager

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
