"""Django's PostgreSQL backend with Prometheus' counters, and a pool that drops all broken connections together."""

from functools import partial
from typing import Any

import psycopg
from django_prometheus.db.backends.postgresql import base
from psycopg_pool import ConnectionPool


class DatabaseWrapper(base.DatabaseWrapper):
    @property
    def pool(self) -> ConnectionPool | None:
        pool: Any = super().pool
        # Django passes the check itself and takes no other.
        if pool is not None and pool._check is ConnectionPool.check_connection:
            pool._check = partial(check_or_drop_all, pool)
        return pool


def check_or_drop_all(pool: ConnectionPool, connection: psycopg.Connection) -> None:
    """Check a connection that is about to be taken; where it is broken, replace every idle one that is.

    After a restart of the server all are. Found out one by one, with the pool's growing pauses in between, the first
    requests would wait longer than they may.
    """
    try:
        ConnectionPool.check_connection(connection)
    except psycopg.Error:
        pool.check()
        raise
