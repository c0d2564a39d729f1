"""A load generator for one machine: raw keep-alive connections in one thread, so that little of the CPU is its own."""

import selectors
import socket
import time
from dataclasses import dataclass, field
from statistics import median
from urllib.parse import urlsplit


@dataclass
class Outcome:
    """What one run saw; times in milliseconds."""

    seconds: float
    times: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    broken: int = 0
    bytes: int = 0

    @property
    def requests_per_second(self) -> float:
        return len(self.times) / self.seconds

    def percentile(self, share: float) -> float:
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")

    @property
    def p50(self) -> float:
        return median(self.times) if self.times else float("nan")

    @property
    def p99(self) -> float:
        return self.percentile(0.99)


class Connection:
    """One keep-alive connection with one request under way."""

    __slots__ = ("address", "body_left", "is_chunked", "received", "sent_at", "socket", "tail")

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(self.address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.received = b""
        self.body_left = -1
        self.is_chunked = False


def hammer(url: str, *, connections: int, seconds: float, headers: dict[str, str] | None = None) -> Outcome:
    """Ask for one address over so many connections for so long; each asks again as soon as it has its answer."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    lines = [f"GET {target} HTTP/1.1", f"Host: {parts.netloc}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    request = "\r\n".join([*lines, "", ""]).encode()
    address = (parts.hostname or "", parts.port or 80)
    outcome = Outcome(seconds)
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        connection = Connection(address)
        selector.register(connection.socket, selectors.EVENT_READ, connection)
        connection.sent_at = time.perf_counter()
        connection.socket.send(request)
    started = time.perf_counter()
    until = started + seconds
    now = started
    while now < until:
        for key, _ in selector.select(timeout=until - now):
            connection = key.data
            status = read(connection, outcome)
            now = time.perf_counter()
            if status == 0:
                continue
            if status > 0:
                outcome.times.append((now - connection.sent_at) * 1000)
                outcome.statuses[status] = outcome.statuses.get(status, 0) + 1
            else:
                outcome.broken += 1
                selector.unregister(connection.socket)
                connection.socket.close()
                connection.open()
                selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.sent_at = now
            connection.socket.send(request)
        now = time.perf_counter()
    outcome.seconds = now - started
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    selector.close()
    return outcome


def read(connection: Connection, outcome: Outcome) -> int:
    """Read what has come; return the status of a whole answer, 0 for a part of one, -1 when the connection broke."""
    try:
        data = connection.socket.recv(262_144)
    except BlockingIOError:
        return 0
    except OSError:
        return -1
    if not data:
        return -1
    outcome.bytes += len(data)
    if connection.body_left >= 0 and not connection.is_chunked:
        connection.body_left -= len(data)
        if connection.body_left > 0:
            return 0
        status = int(connection.received[9:12])
    else:
        connection.received += data
        if not connection.is_chunked:
            end = connection.received.find(b"\r\n\r\n")
            if end < 0:
                return 0
            head = connection.received[:end].lower()
            status = int(head[9:12])
            place = head.find(b"\r\ncontent-length:")
            connection.is_chunked = place < 0 and status != 304
            if not connection.is_chunked:
                length = 0 if place < 0 else int(head[place + 17 :].split(b"\r\n", 1)[0])
                connection.body_left = length - (len(connection.received) - end - 4)
                if connection.body_left > 0:
                    return 0
        if connection.is_chunked:
            if not connection.received.endswith(b"0\r\n\r\n"):
                return 0
            status = int(connection.received[9:12])
    connection.received, connection.body_left, connection.is_chunked = b"", -1, False
    return status
