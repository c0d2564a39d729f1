"""The behaviour that every WebSocket has: heartbeats both ways, reasons for closing, a hint when to come back.

A message is a JSON object with a `type`. The server sends `{"type": "heartbeat", "time": …}`; a client answers
`{"type": "heartbeat"}`, or sends `{"type": "ping"}` of its own and gets `{"type": "pong"}`. A client from which nothing
comes for `idle_timeout_seconds` is closed; so is one that does not read what is sent to it.
"""

import asyncio
import contextlib
import logging
import random
import time
import weakref
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, ClassVar

import orjson
from channels.db import database_sync_to_async
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.utils.module_loading import import_string
from prometheus_client import Gauge, Histogram
from rest_framework.exceptions import APIException, NotFound

from accounts.exceptions import DatabaseGone, DatabaseUnavailable

logger = logging.getLogger(__name__)
SOCKETS = Gauge("psephos_websockets", "Open WebSockets", ["consumer"], multiprocess_mode="livesum")
PUSH_LAG = Histogram(
    "psephos_push_lag_seconds",
    "From the publisher's commit to the socket's queue",
    ["consumer"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, float("inf")),
)

# RFC 6455 codes, and of the range 4000–4999 that is ours.
RESTART = 1012
TOO_BIG = 1009
INTERNAL = 1011
TRY_LATER = 1013
IDLE = 4000
SLOW_CLIENT = 4001
MALFORMED = 4400
UNAUTHENTICATED = 4401
FORBIDDEN = 4403
NOT_FOUND = 4404
TOO_MANY = 4429
CODES_BY_STATUS = {
    400: MALFORMED,
    401: UNAUTHENTICATED,
    403: FORBIDDEN,
    404: NOT_FOUND,
    429: TOO_MANY,
    500: INTERNAL,
    503: TRY_LATER,
}


class HeartbeatConsumer(AsyncWebsocketConsumer):
    """Serve one WebSocket; subclasses override `opened`, `received` and `gone`.

    Everything is sent through `push`, which never waits: each socket has a short queue of its own, so a client that
    does not read holds up nobody else.
    """

    heartbeat_seconds: ClassVar[float] = 20
    idle_timeout_seconds: ClassVar[float] = 70
    send_timeout_seconds: ClassVar[float] = 5
    max_pending: ClassVar[int] = 256
    max_message_bytes: ClassVar[int] = 4096
    max_messages_per_minute: ClassVar[int] = 120

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pending: deque[str | tuple[int, str]] = deque()
        self.writer: asyncio.Task[None] | None = None
        self.is_closing = False
        self.is_open = False
        self.last_received = self.last_heartbeat = self.minute_started = time.monotonic()
        self.received_in_minute = 0

    # For subclasses

    async def opened(self) -> None:
        """Run after the handshake, before anything is read; raise an APIException to refuse."""

    async def received(self, message: dict[str, Any]) -> None:
        """Handle a client's message other than heartbeats."""
        self.push_json({"type": "error", "code": "unknown_type", "detail": "This socket takes no such message."})

    async def gone(self) -> None:
        """Run once when the connection has ended."""

    def note_lag(self, published_at: float) -> None:
        """Count how long a message took from its publisher (Unix seconds) to here."""
        PUSH_LAG.labels(type(self).__name__).observe(max(0.0, time.time() - published_at))

    # Sending

    def push_json(self, message: Any) -> None:
        """Queue an object for the client."""
        self.push(orjson.dumps(message).decode())

    def push(self, text: str) -> None:
        """Queue a text for the client; close it as slow when its queue is full."""
        if self.is_closing or not self.is_open:
            return
        if len(self.pending) >= self.max_pending:
            self.pending.clear()
            self.finish(SLOW_CLIENT, "slow_client")
            return
        self._enqueue(text)

    def finish(self, code: int, reason: str) -> None:
        """Close the connection after what is queued; the reason is at most 123 bytes."""
        if not self.is_closing:
            self.is_closing = True
            self._enqueue((code, reason))

    def _enqueue(self, item: str | tuple[int, str]) -> None:
        self.pending.append(item)
        if self.writer is None:
            self.writer = asyncio.get_running_loop().create_task(self._write())

    async def _write(self) -> None:
        try:
            while self.pending:
                item = self.pending.popleft()
                async with asyncio.timeout(self.send_timeout_seconds):
                    if isinstance(item, str):
                        await self.base_send({"type": "websocket.send", "text": item})
                    else:
                        await self.base_send({"type": "websocket.close", "code": item[0], "reason": item[1]})
        except TimeoutError:
            self.pending.clear()
            self.is_closing = True
            with contextlib.suppress(Exception):
                async with asyncio.timeout(1):
                    await self.base_send({"type": "websocket.close", "code": SLOW_CLIENT, "reason": "slow_client"})
        except Exception as error:
            # The client went away while we wrote; the server reports the disconnect to the reading side.
            logger.debug("socket gone while sending", extra={"error": type(error).__name__})
            self.pending.clear()
        finally:
            self.writer = None

    # ASGI

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Route a message to its handler (without the base class' trip through a thread for each message)."""
        handler: Callable[[dict[str, Any]], Awaitable[None]] | None = getattr(
            self, message["type"].replace(".", "_"), None
        )
        if handler is None or message["type"].startswith("_"):
            raise ValueError(f"no handler for message type {message['type']}")
        try:
            await handler(message)
        except StopConsumer:
            raise
        except Exception as error:
            if message["type"] == "websocket.disconnect":
                raise
            await self.fail(error)

    async def fail(self, error: Exception) -> None:
        """Close after what was not foreseen; the client reads a code and nothing of the exception."""
        if not self.is_open:
            await self.accept()
            self.is_open = True
        if isinstance(error, DatabaseGone):
            logger.error("the database does not answer: %s", type(error.__cause__ or error).__name__)
            self.refuse(DatabaseUnavailable())
        else:
            logger.exception("unhandled exception in a socket")
            self.refuse(APIException("Something went wrong on our side.", code="internal_error"))

    async def connect(self) -> None:
        try:
            await self.admit()
        except APIException as error:
            await self.accept()
            self.is_open = True
            self.refuse(error)
            return
        await self.accept(self.subprotocol)
        self.is_open = True
        live.add(self)
        try:
            await self.opened()
        except APIException as error:
            self.refuse(error)

    async def admit(self) -> None:
        """Take a connection from the caller's allowance (`SOCKET_ADMISSION` names the callable that keeps it)."""
        if settings.SOCKET_ADMISSION:
            await database_sync_to_async(import_string(settings.SOCKET_ADMISSION))(self.scope)

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol to accept: the bearer's marker is echoed, as browsers demand."""
        offered = self.scope.get("subprotocols") or []
        return "psephos.bearer" if "psephos.bearer" in offered else None

    @property
    def bearer_token(self) -> str:
        """The access token: `Authorization: Bearer …`, or, from a browser, the subprotocols `psephos.bearer, TOKEN`."""
        for name, value in self.scope.get("headers", []):
            if name == b"authorization" and value[:7].lower() == b"bearer ":
                return str(value[7:].decode("latin-1").strip())
        offered = self.scope.get("subprotocols") or []
        if len(offered) == 2 and offered[0] == "psephos.bearer":
            return str(offered[1])
        return ""

    def refuse(self, error: APIException) -> None:
        """Say why as a message and close with the code that belongs to the status."""
        detail: Any = error.detail
        while isinstance(detail, dict | list):
            # A ValidationError's: the first of them is said.
            detail = next(iter(detail.values() if isinstance(detail, dict) else detail), error.default_detail)
        code = getattr(detail, "code", error.default_code)
        body = {"type": "error", "status": error.status_code, "code": code, "detail": str(detail)}
        self.push_json(body | getattr(error, "extra", {}))
        self.finish(CODES_BY_STATUS.get(error.status_code, MALFORMED), code)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        now = self.last_received = time.monotonic()
        if self.is_closing:
            return
        if now - self.minute_started >= 60:
            self.minute_started, self.received_in_minute = now, 0
        self.received_in_minute += 1
        if self.received_in_minute > self.max_messages_per_minute:
            self.finish(TOO_MANY, "too_many_messages")
            return
        if text_data is None:
            self.push_json({"type": "error", "code": "malformed", "detail": "Send JSON objects as text."})
            return
        if len(text_data) > self.max_message_bytes:
            self.finish(TOO_BIG, "message_too_big")
            return
        try:
            message = orjson.loads(text_data)
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            self.push_json({"type": "error", "code": "malformed", "detail": "Send a JSON object with a `type`."})
        elif message["type"] == "ping":
            self.push_json({"type": "pong", "time": time.time()})
        elif message["type"] not in ("heartbeat", "pong"):
            await self.received(message)

    async def disconnect(self, code: int) -> None:
        self.is_open = False
        self.pending.clear()
        live.discard(self)
        if self.writer is not None:
            self.writer.cancel()
        await self.gone()

    async def websocket_disconnect(self, message: dict[str, Any]) -> None:
        for group in self.groups or ():
            await self.channel_layer.group_discard(group, self.channel_name)
        await self.disconnect(message.get("code", 1006))
        raise StopConsumer


class HubConsumer(HeartbeatConsumer):
    """Serve a socket that a hub of the process pushes to: no channel, task or queue of the channel layer for it."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope, self.base_send, self.channel_layer = scope, send, None
        try:
            while True:
                await self.dispatch(await receive())
        except StopConsumer:
            pass


class UnknownSocket(HubConsumer):
    """Refuse an address at which there is no socket."""

    async def opened(self) -> None:
        raise NotFound("There is no socket at this address.")


class LiveSockets:
    """The open sockets of this process: one ticker beats for all of them, and a shutdown tells all of them."""

    def __init__(self) -> None:
        self.sockets: weakref.WeakSet[HeartbeatConsumer] = weakref.WeakSet()
        self.ticker: asyncio.Task[None] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.is_stopping = False

    def __iter__(self) -> Iterator[HeartbeatConsumer]:
        return iter(list(self.sockets))

    def __len__(self) -> int:
        return len(self.sockets)

    def add(self, socket: HeartbeatConsumer) -> None:
        loop = asyncio.get_running_loop()
        if self.loop is not loop:
            self.loop, self.ticker = loop, None
        if self.ticker is None or self.ticker.done():
            self.ticker = loop.create_task(self._tick())
        if socket not in self.sockets:
            SOCKETS.labels(type(socket).__name__).inc()
        self.sockets.add(socket)
        if self.is_stopping:
            self.tell_restart(socket)

    def discard(self, socket: HeartbeatConsumer) -> None:
        if socket in self.sockets:
            SOCKETS.labels(type(socket).__name__).dec()
        self.sockets.discard(socket)

    async def _tick(self) -> None:
        while self.sockets:
            now = time.monotonic()
            for socket in list(self.sockets):
                if now - socket.last_received > socket.idle_timeout_seconds:
                    socket.finish(IDLE, "idle")
                elif now - socket.last_heartbeat >= socket.heartbeat_seconds:
                    socket.last_heartbeat = now
                    socket.push_json({"type": "heartbeat", "time": time.time()})
            await asyncio.sleep(0.5)

    def tell_restart(self, socket: HeartbeatConsumer) -> None:
        """Close with 1012 and a hint with jitter, so that the clients of a restart do not come back as one wave."""
        retry_after_seconds = round(random.uniform(0.5, 5.0), 2)  # noqa: S311
        socket.push_json({"type": "closing", "code": "restart", "retry_after_seconds": retry_after_seconds})
        socket.finish(RESTART, f"restart; retry_after_seconds={retry_after_seconds}")

    def stop(self) -> None:
        """Tell all sockets that the server restarts (`config/server.py` calls it before it closes them)."""
        self.is_stopping = True
        for socket in list(self.sockets):
            self.tell_restart(socket)


live = LiveSockets()
