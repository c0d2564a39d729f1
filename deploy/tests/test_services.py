"""The services of the local stack."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from deploy.local import services

RESTART = """
import sys
from pathlib import Path
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
