"""The pool of connections when PostgreSQL restarts."""

import threading

import psycopg
import pytest
from django.db import connection
from psycopg_pool import pool as pool_module

from audit.tests.roles import conninfo

HELD = 5


@pytest.mark.django_db(transaction=True)
def test_after_a_restart_all_broken_connections_are_replaced_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = connection.pool
    taken = [pool.getconn(timeout=20) for _ in range(HELD)]
    pids = [raw.info.backend_pid for raw in taken]
    for raw in taken:
        pool.putconn(raw)
    with psycopg.connect(conninfo(), autocommit=True) as superuser:
        superuser.execute("SELECT pg_terminate_backend(pid, 5000) FROM unnest(%s) pid", [pids])
    pauses: list[float] = []
    monkeypatch.setattr(pool_module, "sleep", lambda seconds: (pauses.append(seconds), threading.Event().wait(0.2)))
    again = [pool.getconn(timeout=20) for _ in range(HELD)]
    try:
        for raw in again:
            raw.execute("SELECT 1")
        assert not set(pids) & {raw.info.backend_pid for raw in again}
        assert len(pauses) == 1
    finally:
        for raw in again:
            pool.putconn(raw)
