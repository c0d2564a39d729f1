"""Runs the bucket's script in Redis over connections that are driven by hand.

Half of what a call through `redis.Redis` costs is spent in Python around the round trip; this is on the way of every
request.
"""

from collections import deque
from functools import lru_cache
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, cast

from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError
from redis.retry import Retry

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

SCRIPT = (Path(__file__).parent / "take.lua").read_text()


def pack(*parts: str | bytes) -> bytes:
    """Write the parts of a command as Redis reads them (RESP), without the count that comes before them."""
    texts = [part if isinstance(part, bytes) else part.encode() for part in parts]
    return b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts)


# EVALSHA or EVAL, the script, the number of keys, the key, four arguments.
COUNT = b"*8\r\n"
BY_NAME = COUNT + pack("EVALSHA", sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest(), "1")
BY_TEXT = COUNT + pack("EVAL", SCRIPT, "1")


@lru_cache(maxsize=1024)
def packed_arguments(limit: int, period_microseconds: int, burst: int, cost: int) -> bytes:
    return pack(*(str(number) for number in (limit, period_microseconds, burst, cost)))


class ScriptRunner:
    """The process's connections to Redis; threads take an idle one and put it back."""

    def __init__(self, url: str, timeout_seconds: float) -> None:
        self.pool = ConnectionPool.from_url(
            url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds, retry=Retry(NoBackoff(), 0)
        )
        self.idle: deque[AbstractConnection] = deque()

    def run(self, key: str, arguments: bytes) -> list[int]:
        """Run the script once; raise a RedisError when Redis does not answer in time."""
        try:
            connection = self.idle.pop()
        except IndexError:
            return self.ask(self.connect(), key, arguments)
        try:
            return self.ask(connection, key, arguments)
        except RedisConnectionError:
            # Redis closed it while it lay here, most likely with all the others: ask once more over a new one. Not
            # after a timeout, which would double the wait. An answer that was lost on the way costs its caller a token.
            self.idle.clear()
            return self.ask(self.connect(), key, arguments)

    def connect(self) -> "AbstractConnection":
        # Not `make_connection`, which counts them up to a maximum and never down again.
        connection = cast("AbstractConnection", self.pool.connection_class(**self.pool.connection_kwargs))
        connection.connect()
        return connection

    def ask(self, connection: "AbstractConnection", key: str, arguments: bytes) -> list[int]:
        rest = pack(key) + arguments
        try:
            connection.send_packed_command((BY_NAME + rest,), check_health=False)
            try:
                answer = connection.read_response()
            except NoScriptError:  # a restarted Redis forgot it
                connection.send_packed_command((BY_TEXT + rest,), check_health=False)
                answer = connection.read_response()
        except BaseException:
            # The answer may still be under way: nobody else may read it as its own.
            connection.disconnect()
            raise
        self.idle.append(connection)
        return cast("list[int]", answer)
