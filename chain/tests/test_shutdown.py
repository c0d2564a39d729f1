"""A real server told to stop: its sockets get a hint and 1012."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chain.tests.test_crashes import database_url, wait_for
from deploy.local import services

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
ROOT = Path(__file__).resolve().parent.parent.parent
SERVERS = {
    "granian": ["granian", "--interface", "asginl", "--workers", "1", "config.asgi:application", "--port"],
    "uvicorn": ["uvicorn", "config.asgi:application", "--log-level", "warning", "--port"],
}


def read_to_the_end(client: Any, seen: list[dict[str, Any]]) -> None:
    while True:
        seen.append(json.loads(client.recv(30)))


@pytest.mark.parametrize("name", list(SERVERS))
def test_a_server_that_stops_tells_its_sockets_when_to_come_back(name: str, service_folder: Path) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    port = services.free_port()
    log = service_folder / f"{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    env = dict(os.environ, DATABASE_URL=database_url(), DJANGO_SETTINGS_MODULE="config.settings.test")
    command = [str(Path(sys.executable).parent / SERVERS[name][0]), *SERVERS[name][1:], str(port)]
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output, start_new_session=True)
    try:

        def is_up() -> bool:
            assert server.poll() is None, log.read_text()[-2000:]
            try:
                connect(f"ws://localhost:{port}/ws/chain", open_timeout=5).close()
            except OSError:
                return False
            return True

        wait_for(is_up, 90)
        with connect(f"ws://localhost:{port}/ws/chain") as client:
            assert json.loads(client.recv(30))["type"] == "block"
            server.send_signal(signal.SIGTERM)
            seen: list[dict[str, Any]] = []
            with pytest.raises(ConnectionClosed) as closed:
                read_to_the_end(client, seen)
        assert seen[-1]["type"] == "closing", seen
        assert seen[-1]["retry_after_seconds"] > 0
        if closed.value.rcvd is None:
            # granian does not write a close frame while the client is silent (docs/operations.md); the hint came.
            assert name == "granian"
        else:
            assert closed.value.rcvd.code == 1012
        server.wait(30)
    finally:
        if server.poll() is None:
            server.kill()
            server.wait()
