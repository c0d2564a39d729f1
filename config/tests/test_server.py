"""The real socket server, as a process: every close reaches its client, and what a client takes up has an end."""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from django.conf import settings
from django.db import connection
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from accounts.sockets import IDLE, MALFORMED, NOT_FOUND, RESTART, SLOW_CLIENT, TOO_BIG, TOO_MANY, UNAUTHENTICATED
from chain.services import publish_head
from chain.tests.test_crashes import wait_for
from deploy.local import services

# Every test is marked with the database, or pytest-django would make none; the server has connections of its own.
pytestmark = [pytest.mark.django_db, pytest.mark.slow, pytest.mark.xdist_group("socket-server")]
HANDSHAKE = (
    b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)
LIMIT = 1_048_576


class Server:
    def __init__(self, log: Path) -> None:
        self.port = services.free_port()
        self.log = log
        database = os.environ["DATABASE_URL"].replace("/psephos?", f"/{connection.settings_dict['NAME']}?")
        environment = os.environ | {"DATABASE_URL": database, "DJANGO_SETTINGS_MODULE": "config.settings.test"}
        environment |= {"PYTHONWARNINGS": "ignore"}
        self.process = services.launch(
            "sockets",
            [sys.executable, "-m", "config.tests.impatient_server", str(self.port)],
            log=log,
            cwd=services.ROOT,
            environment=environment,
        )
        services.wait_until("sockets", lambda: self.get("/healthz").ok, self.process, log, 90)

    def get(self, path: str, **more: Any) -> requests.Response:
        return requests.get(f"http://127.0.0.1:{self.port}{path}", timeout=20, **more)

    def connect(self, path: str, **more: Any) -> ClientConnection:
        return connect(f"ws://127.0.0.1:{self.port}{path}", close_timeout=5, **more)

    def dial(self, receive_buffer: int = 0) -> socket.socket:
        plain = socket.socket()
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(30)
        plain.connect(("127.0.0.1", self.port))
        return plain

    def holds(self, client_port: int) -> bool:
        """Look whether the process still has its end of a connection."""
        return any(
            one.raddr and one.raddr.port == client_port for one in psutil.Process(self.process.pid).net_connections()
        )


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("server") / "log")
    yield one
    services.Service("sockets", "", one.process).stop(20)


def read_to_the_end(client: ClientConnection) -> tuple[list[dict[str, Any]], int]:
    """Read until the server closes; return the messages and the code of its close frame."""
    seen: list[dict[str, Any]] = []
    while True:
        try:
            seen.append(json.loads(client.recv(30)))
        except ConnectionClosed as closed:
            return seen, closed.rcvd.code if closed.rcvd else 0


# Nobody's; the same in every process, as it names tests.
JOB = "/ws/jobs/0192f0c1-2b5a-7c3d-9e1f-5a6b7c8d9e0f"


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        (JOB, {"Authorization": "Bearer no-token"}, UNAUTHENTICATED),
        (JOB, {}, UNAUTHENTICATED),
        ("/ws/chain?since=x", {}, MALFORMED),
        ("/ws/elections?colour=red", {}, MALFORMED),
        ("/ws/elections?election=%FF", {}, MALFORMED),
        ("/ws/elections?election=1-00000000-1", {}, NOT_FOUND),
        ("/ws/nowhere", {}, NOT_FOUND),
        ("/", {}, NOT_FOUND),
    ],
)
def test_a_refused_client_reads_why_and_the_code(server: Server, path: str, headers: Any, code: int) -> None:
    plain = server.dial()
    port = plain.getsockname()[1]
    with server.connect(path, sock=plain, additional_headers=headers) as client:
        seen, closed = read_to_the_end(client)
    assert closed == code
    assert seen[-1]["type"] == "error"
    wait_for(lambda: not server.holds(port))


def test_too_many_connections_are_refused_with_the_code(server: Server) -> None:
    """A proxy's word changes nothing: only our own middleware counts proxies, and none is configured here."""
    codes = []
    for number in range(3):
        with server.connect("/ws/limited", additional_headers={"X-Forwarded-For": f"192.0.2.{number}"}) as client:
            seen, code = read_to_the_end(client)
            codes.append(code)
    assert codes == [NOT_FOUND, TOO_MANY, TOO_MANY]
    assert seen[-1]["code"] == "rate_limited"


def test_silent_clients_are_closed_as_idle_and_gone(server: Server) -> None:
    with server.connect("/ws/elections") as client, server.dial() as half_open:
        # One whose machine was switched off answers nothing, not even the close.
        half_open.sendall(HANDSHAKE % b"/ws/elections" + b"\r\n")
        assert half_open.recv(100).startswith(b"HTTP/1.1 101")
        ports = [client.socket.getsockname()[1], half_open.getsockname()[1]]
        assert read_to_the_end(client)[1] == IDLE
        wait_for(lambda: not any(server.holds(port) for port in ports))


def test_a_message_too_big_is_closed_with_its_code(server: Server) -> None:
    for size in (5_000, 1_000_000):
        with server.connect("/ws/elections") as client:
            with contextlib.suppress(ConnectionClosed):
                client.send("x" * size)
            assert read_to_the_end(client)[1] == TOO_BIG


def test_what_still_comes_of_a_message_too_big_resets_no_connection(server: Server) -> None:
    message = bytes([0x81, 0x80 | 127]) + (1_000_000).to_bytes(8) + bytes(4) + b"x" * 1_000_000
    with server.dial() as client:
        client.sendall(HANDSHAKE % b"/ws/elections" + b"\r\n")
        heard = client.recv(1000)
        client.sendall(message[:100_000])
        while TOO_BIG.to_bytes(2) not in heard:  # the code of the close frame
            more = client.recv(1000)
            assert more, heard
            heard += more
        for start in range(100_000, len(message), 100_000):
            client.sendall(message[start : start + 100_000])
        while client.recv(1000):
            pass  # the rest of the close frame; then the end, and no reset


def test_a_message_in_endless_pieces_is_closed(server: Server) -> None:
    with server.connect("/ws/elections") as client:
        with contextlib.suppress(ConnectionClosed):
            client.send("" for _ in range(3_000))
        assert read_to_the_end(client)[1] == TOO_BIG


def test_a_flood_of_pings_whose_answers_nobody_reads_takes_no_memory(server: Server) -> None:
    ping = bytes([0x89, 0x80 | 125]) + bytes(4) + b"p" * 125
    with server.dial(receive_buffer=4096) as client:
        client.sendall(HANDSHAKE % b"/ws/elections" + b"\r\n")
        client.recv(1)
        before = psutil.Process(server.process.pid).memory_info().rss
        # It may close us as idle meanwhile.
        with contextlib.suppress(OSError):
            for _ in range(200):
                client.sendall(ping * 1000)
        assert psutil.Process(server.process.pid).memory_info().rss - before < 10_000_000  # the answers would be 25 MB


def test_pings_are_answered_and_heartbeats_keep_alive(server: Server) -> None:
    with server.connect("/ws/elections") as client:
        assert client.ping().wait(20)
        for _ in range(6):
            message = json.loads(client.recv(20))
            if message["type"] == "heartbeat":
                client.send('{"type": "heartbeat"}')
        client.send('{"type": "ping"}')
        assert any(json.loads(client.recv(20))["type"] == "pong" for _ in range(10))


def frames_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Read a server's frames: their operations and what they carry."""
    while len(data) >= 2:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(data[2:10]), 10
        yield data[0] & 0x0F, data[start : start + size]
        data = data[start + size :]


def has_sockets(server: Server, count: int) -> bool:
    """Look whether so many sockets of `/ws/chain` are open."""
    return f'psephos_websockets{{consumer="ChainConsumer"}} {count}.0' in server.get("/metrics").text


def push_until(is_enough: Callable[[], bool]) -> None:
    """Push large heads."""
    for number in range(4_000):
        if number % 20 == 0 and is_enough():
            return
        message = {"type": "block", "block": number, "hash": f"0x{uuid.uuid4().hex:0>64}", "padding": "x" * 60_000}
        publish_head(chain_id=settings.CHAIN_ID, message=message | {"chain_id": settings.CHAIN_ID})
    raise AssertionError("clients that do not read were never given up")


def test_clients_that_do_not_read_are_closed_and_gone(server: Server) -> None:
    with server.dial(4096) as late, server.dial(4096) as never, server.connect("/ws/chain") as other:
        ports = [one.getsockname()[1] for one in (late, never)]
        for one in (late, never):
            one.sendall(HANDSHAKE % b"/ws/chain" + b"\r\n")
        stop = threading.Event()
        reader = threading.Thread(target=lambda: [other.recv(30) for _ in iter(stop.is_set, True)])
        reader.start()
        wait_for(lambda: has_sockets(server, 3))
        push_until(lambda: has_sockets(server, 1))
        # One that reads at last gets what it was sent, and why that was all.
        received = bytearray()
        while chunk := late.recv(1 << 20):
            received += chunk
        operation, payload = list(frames_of(bytes(received).partition(b"\r\n\r\n")[2]))[-1]
        assert (operation, int.from_bytes(payload[:2])) == (8, SLOW_CLIENT)
        wait_for(lambda: not any(server.holds(port) for port in ports))
        # The others were served all the while.
        assert reader.is_alive()
        stop.set()
        publish_head(chain_id=settings.CHAIN_ID, message={"type": "block", "block": 1, "hash": "0x1"})
        reader.join(30)


def answer_to(server: Server, head: bytes) -> bytes:
    """Send a head and return the beginning of the answer, empty when there is none, once the connection is gone."""
    answer = b""
    with server.dial() as plain:
        port = plain.getsockname()[1]
        with contextlib.suppress(OSError):
            plain.sendall(head)
            answer = plain.recv(200)
        wait_for(lambda: not server.holds(port))
    return answer


GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "head",
    [
        GET + b"X-Huge: " + b"a" * 500_000 + b"\r\n\r\n",
        GET + b"".join(b"X-%d: a\r\n" % number for number in range(101)) + b"\r\n",
        GET + b"".join(b"X-%d: %b\r\n" % (number, b"a" * 2_000) for number in range(50)) + b"\r\n",
        b"GET /elections?status=" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /elections?status=\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        # The handshake's own bounds are lower than HTTP's.
        HANDSHAKE % b"/ws/chain" + b"X-Long: " + b"a" * 20_000 + b"\r\n\r\n",
        HANDSHAKE % b"/ws/chain" + b"".join(b"X-%d: a\r\n" % number for number in range(100)) + b"\r\n",
        (HANDSHAKE % b"/ws/chain").replace(b"GET", b"POST") + b"\r\n",
        (HANDSHAKE % b"/ws/chain").replace(b"Version: 13", b"Version: 7") + b"\r\n",
        # Half open, and slower than a client is.
        GET,
        b"",
    ],
    ids=str,
)
def test_a_head_without_measure_is_refused_and_the_connection_ends(server: Server, head: bytes) -> None:
    answer = answer_to(server, head)
    assert answer == b"" or answer[9:10] == b"4", answer
    assert server.get("/healthz").ok


def test_it_says_not_what_it_is(server: Server) -> None:
    assert "Server" not in server.get("/healthz").headers
    with server.dial() as plain:
        plain.sendall(HANDSHAKE % b"/ws/elections" + b"\r\n")
        assert b"server:" not in plain.recv(2_000).lower()


# HTTP on the same port


def test_http_beside_the_sockets_reads_bodies(server: Server) -> None:
    address = f"http://127.0.0.1:{server.port}/graphql"
    response = requests.post(address, json={"query": "{ __typename }"}, timeout=20)
    assert response.json() == {"data": {"__typename": "Query"}}
    response = requests.post(address, data=b'{"query": "' + b"x" * LIMIT + b'"}', timeout=20)
    assert response.status_code in (400, 413, 415)
    long = {"query": "{ __typename }" + " " * 200_000}
    assert requests.post(address, json=long, timeout=20).status_code < 500


def test_an_answer_does_not_wait_for_the_client_s_acknowledgement(server: Server) -> None:
    """Head and body are two writes: with Nagle's algorithm each answer takes the 40 ms of a delayed acknowledgement."""
    with requests.Session() as session:
        times = []
        for _ in range(30):
            started = time.perf_counter()
            session.get(f"http://127.0.0.1:{server.port}/healthz", timeout=20)
            times.append(time.perf_counter() - started)
    assert min(times) < 0.035


def test_slow_bodies_hold_up_nobody(server: Server) -> None:
    head = (
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
    )
    plain = [server.dial() for _ in range(20)]
    for one in plain:
        one.sendall(head)
    assert server.get("/elections").ok
    ports = [one.getsockname()[1] for one in plain]
    for one in plain:
        one.close()
    wait_for(lambda: not any(server.holds(port) for port in ports))
    assert server.get("/elections").ok


def test_everything_is_logged_as_json(server: Server) -> None:
    """What came before was refused, and is no fault of ours: there is no traceback."""
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert not [line for line in lines if "exc_info" in line]


# The last one, for it ends the server


def test_a_server_that_stops_tells_every_socket_when_to_come_back(server: Server) -> None:
    with contextlib.ExitStack() as stack:
        paths = ["/ws/chain", "/ws/elections"] * 20
        clients = [stack.enter_context(server.connect(path)) for path in paths]
        silent = stack.enter_context(server.dial())
        silent.sendall(HANDSHAKE % b"/ws/elections" + b"\r\n")
        assert silent.recv(2_000).startswith(b"HTTP/1.1 101")
        server.process.send_signal(signal.SIGTERM)
        hints = []
        for client in clients:
            seen, code = read_to_the_end(client)
            assert code == RESTART
            assert seen[-1]["type"] == "closing", seen
            hints.append(seen[-1]["retry_after_seconds"])
        assert len(set(hints)) > 10
        assert all(hint > 0 for hint in hints)
        server.process.wait(20)
