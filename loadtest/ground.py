"""PostgreSQL and Redis for a benchmark that measures inside its own process."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.services import start_postgres, start_redis


@contextmanager
def measured_services(**variables: str) -> Iterator[str]:
    """Start both in a temporary folder and name them in the environment; yield Redis' URL, and take all away again."""
    folder = Path(tempfile.mkdtemp(prefix="psephos-bench-"))
    folder.chmod(0o755)
    started = []
    try:
        started.append(postgres := start_postgres(folder / "postgres", is_durable=False))
        started.append(redis := start_redis(folder / "redis"))
        postgres.create_database("psephos")
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
            "DATABASE_URL": postgres.url("psephos"),
            "MIGRATION_DATABASE_URL": postgres.url("psephos"),
            "REDIS_URL": redis.url,
            **variables,
        }
        yield redis.url
    finally:
        for service in reversed(started):
            service.stop()
        shutil.rmtree(folder, ignore_errors=True)
