"""Starts the real PostgreSQL, Redis and EVM node for the test session, on free ports and in a temporary folder.

With xdist the controller starts them once and every worker gets a database, a Redis number and a node of its own.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import django
import pytest

from deploy.local import services

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
# Not in pyproject.toml: there pytest-django would read the settings before the services stand.
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.test"


def start_services() -> None:
    folder = Path(tempfile.mkdtemp(prefix="psephos-test-"))
    folder.chmod(0o755)
    postgres = services.start_postgres(folder / "postgres", is_durable=False)
    postgres.create_roles()
    redis = services.start_redis(folder / "redis", options=["--save", "", "--databases", "64"])
    started.extend([postgres, redis])
    folders.append(folder)
    os.environ["PSEPHOS_TEST_FOLDER"] = str(folder)
    os.environ["DATABASE_URL"] = postgres.url("psephos")
    os.environ["PSEPHOS_TEST_REDIS"] = redis.url.rpartition("/")[0]
    os.environ["REDIS_URL"] = redis.url


started: list = []
folders: list[Path] = []

if not WORKER:
    start_services()
else:
    os.environ["REDIS_URL"] = f"{os.environ['PSEPHOS_TEST_REDIS']}/{int(WORKER.removeprefix('gw')) + 1}"

django.setup()


def pytest_configure(config: pytest.Config) -> None:
    # xdist's workers inherit the environment: with the settings named in it, pytest-django reads them before the worker
    # has chosen its Redis number, and all workers share one.
    if not WORKER and getattr(config.option, "numprocesses", None):
        os.environ.pop("DJANGO_SETTINGS_MODULE", None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse to run when pytest-xdist tears apart tests that build on each other."""
    torn = [item for item in items if WORKER and item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
    if torn:
        raise pytest.UsageError(f"this pytest-xdist keeps no groups together: {torn[0].nodeid}")


def pytest_unconfigure(config: pytest.Config) -> None:
    if WORKER:
        return
    for service in reversed(started):
        service.stop()
    started.clear()
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Make the flush between transactional tests quick, and let it pass the audit log's append-only triggers.

    Django truncates every table, which makes a dozen files for each, and then looks up every permission anew: half a
    second after each test. Most tables are empty, and content types and permissions are the same in every test.
    """
    from django.core.management.commands import flush
    from django.db import connection, transaction

    def execute_sql_flush(sql_list: Iterable[str]) -> None:
        kept = {"django_content_type", "auth_permission"}
        tables = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - kept
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(";".join(f"DELETE FROM {connection.ops.quote_name(table)}" for table in tables))

    connection.ops.execute_sql_flush = execute_sql_flush  # type: ignore[method-assign]
    flush.emit_post_migrate_signal = lambda *_: None  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """Give back the connection of asgiref's thread before the test database is dropped.

    While channels' communicators send and receive, `database_sync_to_async` closes no connection (channels.testing), so
    the thread keeps that of the last socket test.
    """
    yield
    from asgiref.sync import SyncToAsync
    from django.db import connections

    SyncToAsync.single_thread_executor.submit(connections.close_all).result(30)


@pytest.fixture
def service_folder() -> Path:
    """The session's folder, for services that a test starts itself."""
    return Path(os.environ["PSEPHOS_TEST_FOLDER"]) / (WORKER or "main")


@pytest.fixture(scope="session")
def anvil_session() -> Iterator[services.Service]:
    """One EVM node for the worker, automining; tests take `anvil`, which resets it."""
    folder = Path(os.environ["PSEPHOS_TEST_FOLDER"]) / (WORKER or "main")
    service = services.start_anvil(folder / "anvil")
    yield service
    service.stop()


@pytest.fixture
def anvil(anvil_session: services.Service) -> Iterator[str]:
    """The URL of an EVM node whose chain is rolled back after the test."""
    import requests

    def call(method: str, *params: object) -> object:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return requests.post(anvil_session.url, json=body, timeout=10).json().get("result")

    snapshot = call("evm_snapshot")
    yield anvil_session.url
    call("evm_revert", snapshot)


@pytest.fixture(autouse=True)
def _clean_redis(request: pytest.FixtureRequest) -> Iterator[None]:
    """Empty the worker's Redis number after each test that may have touched it."""
    yield
    has_database = request.node.get_closest_marker("django_db") is not None or "db" in request.fixturenames
    if has_database or "transactional_db" in request.fixturenames or "clean_redis" in request.keywords:
        import redis
        from django.conf import settings

        with redis.Redis.from_url(settings.REDIS_URL) as client:
            client.flushdb()
