"""Clients that mean no good, against the real server: slow, half-open, too large. The others are served meanwhile."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from django.db import connections

from deploy.local import services
from elections.tests import factories as make
from loadtest.stack import SERVERS

pytestmark = pytest.mark.slow


@pytest.fixture
def processes() -> list[subprocess.Popen[bytes]]:
    return []


@pytest.fixture
def server(transactional_db: None, tmp_path: Path, processes: list[subprocess.Popen[bytes]]) -> Iterator[str]:
    """Psephos over HTTP as it is deployed, on the test's database."""
    make.election(1, head=20)
    name = connections["default"].settings_dict["NAME"]
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    port = services.free_port()
    program, *arguments = SERVERS["granian wsgi"]
    command = [str(Path(sys.executable).parent / program), *arguments, "--host", "127.0.0.1", "--port", str(port)]
    log = tmp_path / "server.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=os.environ | {"DATABASE_URL": database}, stdout=output, stderr=output, cwd=services.ROOT
        )
    processes.append(process)
    address = f"http://127.0.0.1:{port}"
    services.wait_until("server", lambda: requests.get(f"{address}/healthz", timeout=2).ok, process, log, 60)
    yield address
    services.Service("server", address, process).stop(10)


def connect(server: str) -> socket.socket:
    parts = urlsplit(server)
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


def is_served(server: str) -> bool:
    return requests.get(f"{server}/elections", timeout=20).status_code == 200


def half_open_and_slow_connections_hold_up_nobody(server: str) -> None:
    sockets = [connect(server) for _ in range(300)]
    try:
        for number, one in enumerate(sockets):
            if number % 3 == 1:
                one.sendall(b"GET /elections HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            elif number % 3 == 2:
                # Asks and never reads the answer.
                one.sendall(b"GET /elections HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        for _ in range(5):
            assert is_served(server)
        for one in sockets[1::3]:
            with contextlib.suppress(OSError):
                one.sendall(b"a")
        assert is_served(server)
    finally:
        for one in sockets:
            one.close()


def bodies_that_never_come_hold_up_no_reader(server: str) -> None:
    sockets = [connect(server) for _ in range(3)]
    try:
        for one in sockets:
            one.sendall(
                b"POST /elections HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: 1000\r\n\r\n{"
            )
        assert is_served(server)
    finally:
        for one in sockets:
            one.close()


HUGE_HEADS = [
    b"X-Huge: " + b"a" * 500_000,
    b"\r\n".join(b"X-%d: a" % number for number in range(20_000)),
    b"Cookie: " + b"a=b; " * 100_000,
]


def huge_headers_are_refused(server: str, head: bytes) -> None:
    with connect(server) as one:
        answer = b""
        with contextlib.suppress(OSError):
            one.sendall(b"GET /elections HTTP/1.1\r\nHost: localhost\r\n" + head + b"\r\n\r\n")
        with contextlib.suppress(OSError):
            answer = one.recv(100)
    assert answer == b"" or answer[9:12] in (b"400", b"431")
    assert is_served(server)


def a_huge_address_is_refused(server: str) -> None:
    response = requests.get(f"{server}/elections?status={'x' * 20_000}", timeout=20)
    assert response.status_code in (400, 414, 431)
    assert is_served(server)


def it_stops_under_load(server: str, process: subprocess.Popen[bytes]) -> None:
    sockets = [connect(server) for _ in range(50)]
    for one in sockets:
        one.sendall(b"GET /elections HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)
    process.terminate()
    process.wait(30)
    for one in sockets:
        one.close()


def test_clients_that_mean_no_good_are_bounded(server: str, processes: list[subprocess.Popen[bytes]]) -> None:
    """All in one, for the server takes longer to start than they do."""
    half_open_and_slow_connections_hold_up_nobody(server)
    bodies_that_never_come_hold_up_no_reader(server)
    for head in HUGE_HEADS:
        huge_headers_are_refused(server, head)
    a_huge_address_is_refused(server)
    it_stops_under_load(server, processes[0])
