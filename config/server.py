"""The ASGI server: uvicorn, with bounds on what a client may take up, and a farewell to the sockets at the end.

uvicorn alone waits for a request's head without end, takes heads of any size, and lets a connection stand that it
closed and whose client does not read. Everything that is bounded here is held by `config/tests/test_server.py`.
"""

import asyncio
import gc
import resource
from contextlib import suppress
from socket import socket
from typing import Any

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from accounts.sockets import live

HEAD_SECONDS = 10.0
MAX_HEAD_BYTES = 65_536
# The WebSocket handshake's own parser gives up at 128 headers.
MAX_HEADERS = 100
MAX_FRAME_BYTES = 65_536
MAX_FRAGMENTS = 1_000
# From our close frame to the end of the connection; a client that reads gets what is queued within it.
CLOSE_SECONDS = 10.0
# The same when the process ends.
LAST_SECONDS = 1.0


class HttpConnection(HttpToolsProtocol):
    """A connection whose request's head comes in time and is not too large."""

    head_timer: asyncio.TimerHandle | None = None
    head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[arg-type]
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_over()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        timer = self.head_timer
        super().data_received(data)
        # The parser tells of a header when it is complete; one that never ends is counted here.
        if timer is not None and self.head_timer is timer and not self.transport.is_closing():
            self.head_bytes += len(data)
            if self.head_bytes > MAX_HEAD_BYTES:
                self._refuse()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await_head()
        self.listed_bytes = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        # What a callback raises is answered with 400.
        if len(self.url) > MAX_HEAD_BYTES or not url.isascii():
            raise ValueError("address")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.listed_bytes += len(name) + len(value)
        if self.listed_bytes > MAX_HEAD_BYTES or len(self.headers) >= MAX_HEADERS:
            raise ValueError("head")
        # `X_Forwarded_For` would become the same variable of WSGI as `X-Forwarded-For`; nginx leaves such ones out too.
        if b"_" not in name:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._head_is_over()
        super().on_headers_complete()

    def _await_head(self) -> None:
        if self.head_timer is None:
            self.head_bytes = 0
            self.head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse)

    def _head_is_over(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None

    def _refuse(self) -> None:
        self._head_is_over()
        self.send_400_response("The request's head is too large or too slow.")


class SocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket that ends a while after we close it, whether its client reads or not."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated and not self.transport.is_closing():
            # The handshake's parser took it for no request; uvicorn would wait for another one.
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            # The buffer of a client that does not read is full: the close frame goes behind it, without waiting.
            self.writable.set()
        await super().send(message)
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def handle_parser_exception(self) -> None:
        """Say why we close, and take no notice of what still comes.

        Closed at once, with unread bytes behind it, the connection would be reset, and with it our close frame lost.
        """
        if self.close_sent or self.conn.close_sent is None:
            return
        closed = self.conn.close_sent
        self.queue.put_nowait({"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason})
        self.close_sent = True
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.write_eof()
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def shutdown(self) -> None:
        super().shutdown()
        self.loop.call_later(LAST_SECONDS, self.transport.abort)

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            # It asks without reading: the answers would pile up.
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        if len(self.frames) >= MAX_FRAGMENTS:
            self.conn.fail(1009, "too many fragments")
            self.handle_parser_exception()
        else:
            super().handle_cont(event)


class AsgiServer(Server):
    """uvicorn's server; before it stops, every socket hears when to come back."""

    async def shutdown(self, sockets: list[socket] | None = None) -> None:
        live.stop()
        with suppress(TimeoutError):
            async with asyncio.timeout(LAST_SECONDS):
                while any(isinstance(one, SocketConnection) for one in self.server_state.connections):
                    await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def serve(*, host: str, port: int, grace_seconds: int) -> None:
    """Serve the ASGI application until SIGTERM or SIGINT; requests that have begun get `grace_seconds`."""
    allow_many_files()
    config = Config(
        "config.asgi:application",
        host=host,
        port=port,
        loop="uvloop",
        http=HttpConnection,
        ws=SocketConnection,
        ws_max_size=MAX_FRAME_BYTES,
        # The consumers' heartbeats decide alone which client is gone.
        ws_ping_interval=None,
        # Messages are a few hundred bytes, and each compressor would take more than the socket itself.
        ws_per_message_deflate=False,
        lifespan="off",
        interface="asgi3",
        # Our own settings format the logs, our own middleware counts proxies.
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=grace_seconds,
    )
    config.load()
    # As in `config/wsgi.py`: the collector need not walk over what is loaded.
    gc.collect()
    gc.freeze()
    with suppress(KeyboardInterrupt):
        AsgiServer(config).run()


def allow_many_files() -> None:
    """Raise the limit on open files to what the system allows: each socket is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        # macOS names a limit that it does not grant.
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
