"""The one listener of a process group: hears of new heads, wakes the indexer, feeds every socket through Redis.

A newHeads subscription is quick but not enough: it falls silent when a connection half dies, and rollbacks emit
nothing. So silence is answered by a question over HTTP, and blocks that were missed in between are read.
"""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
from django.conf import settings
from django.db import DatabaseError, connection

from chain import metrics
from chain.evm import websocket_client
from chain.exceptions import NodeError
from chain.reading import Header, Reader, parse_header
from chain.selectors import get_next_end
from chain.services.publishing import claim_publishing, publish_head, publishing_lock_seconds

logger = logging.getLogger(__name__)

RECONNECT_SECONDS = (0.2, 10.0)
# Blocks between two heads that are read and published too; after a longer silence only the newest is.
MAX_FILLED = 64


def websocket_url() -> str:
    """Return the address to subscribe at: CHAIN_WS_URL, or the first endpoint's with ws; empty for polling only."""
    if settings.CHAIN_WS_URL.lower() == "none":
        return ""
    if settings.CHAIN_WS_URL:
        return str(settings.CHAIN_WS_URL)
    parts = urlsplit(settings.CHAIN_RPC_URLS[0])
    return urlunsplit(parts._replace(scheme="wss" if parts.scheme == "https" else "ws"))


class HeadListener:
    """Publishes each new head once, from a thread; `on_head` is called for each, `finality` gives (safe, finalized)."""

    def __init__(
        self,
        *,
        reader: Reader,
        chain_id: int,
        name: str,
        ws_url: str,
        poll_seconds: float,
        on_head: Callable[[], None] = lambda: None,
        finality: Callable[[], tuple[int, int]] = lambda: (0, 0),
    ) -> None:
        self.reader = reader
        self.chain_id = chain_id
        self.name = name
        self.ws_url = ws_url
        self.poll_seconds = poll_seconds
        self.on_head = on_head
        self.finality = finality
        self.stopping = threading.Event()
        self.arrived = threading.Event()
        self.heads: deque[Header] = deque(maxlen=1024)
        self.last: Header | None = None
        self.last_heard = 0.0
        self.unpublished: deque[dict[str, Any]] = deque(maxlen=512)
        self.threads: list[threading.Thread] = []
        self.loop: asyncio.AbstractEventLoop | None = None
        self.subscription: asyncio.Task[None] | None = None

    # Life

    def start(self) -> None:
        self.threads = [threading.Thread(target=self._publish_loop, name="heads", daemon=True)]
        if self.ws_url:
            self.threads.append(threading.Thread(target=self._subscribe_loop, name="newHeads", daemon=True))
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.arrived.set()
        if self.loop is not None and self.subscription is not None:
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self.subscription.cancel)
        for thread in self.threads:
            thread.join(timeout=5)

    # Hearing

    def hear(self, header: Header) -> None:
        """Take note of a head, wherever it comes from."""
        self.last_heard = time.monotonic()
        self.heads.append(header)
        self.arrived.set()

    def _subscribe_loop(self) -> None:
        async def main() -> None:
            self.loop = asyncio.get_running_loop()
            self.subscription = asyncio.current_task()
            await self._subscribe()

        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(main())

    async def _subscribe(self) -> None:
        pause = RECONNECT_SECONDS[0]
        while not self.stopping.is_set():
            try:
                client: Any = websocket_client(self.ws_url)
                async with client as w3:
                    await w3.eth.subscribe("newHeads")
                    pause = RECONNECT_SECONDS[0]
                    async for message in w3.socket.process_subscriptions():
                        header = from_subscription(message.get("result"))
                        if header is not None:
                            self.hear(header)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                # Whatever web3 or the connection raises: polling goes on meanwhile.
                logger.warning("newHeads ended; subscribing again", extra={"kind": type(error).__name__})
            await asyncio.sleep(pause)
            pause = min(pause * 2, RECONNECT_SECONDS[1])

    def _poll(self) -> None:
        """Ask for the head after a silence."""
        try:
            header = self.reader.head().header
        except NodeError as error:
            logger.warning("no head to be had", extra={"reason": str(error)})
            self.last_heard = time.monotonic()
            return
        self.hear(header)

    # Publishing

    def _publish_loop(self) -> None:
        is_publisher, claimed_at = False, 0.0
        while not self.stopping.is_set():
            self.arrived.wait(self.poll_seconds if not self.heads else 0)
            self.arrived.clear()
            if self.stopping.is_set():
                break
            if not self.heads and time.monotonic() - self.last_heard >= self.poll_seconds:
                self._poll()
            try:
                if time.monotonic() - claimed_at > publishing_lock_seconds / 3:
                    is_publisher = claim_publishing(chain_id=self.chain_id, name=self.name)
                    claimed_at = time.monotonic()
                self._take(is_publisher)
                while self.unpublished and is_publisher:
                    publish_head(chain_id=self.chain_id, message=self.unpublished[0])
                    self.unpublished.popleft()
            except redis.RedisError as error:
                logger.warning("heads wait for Redis", extra={"kind": type(error).__name__})
                claimed_at = 0.0
                self.stopping.wait(0.5)
        connection.close()

    def _take(self, is_publisher: bool) -> None:
        while self.heads:
            header = self.heads.popleft()
            if self.last is not None and header.hash == self.last.hash:
                continue
            metrics.head.labels(self.chain_id).set(header.number)
            for new in [*self._between(header), header]:
                if is_publisher:
                    self.unpublished.append(self._message(new))
            self.last = header
            self.on_head()

    def _between(self, header: Header) -> list[Header]:
        """Read the blocks that came between the last head and this one."""
        if self.last is None or not 1 < header.number - self.last.number <= MAX_FILLED:
            return []
        try:
            return self.reader.headers(range(self.last.number + 1, header.number))
        except NodeError:
            # The newest head is what matters; those between are in the indexer's rows.
            return []

    def _message(self, header: Header) -> dict[str, Any]:
        safe, finalized = self.finality()
        try:
            end = get_next_end(chain_id=self.chain_id, block_number=header.number)
        except DatabaseError:
            connection.close()
            end = None
        return {
            "type": "block",
            "chain_id": self.chain_id,
            "block": header.number,
            "hash": header.hash,
            "parent_hash": header.parent_hash,
            "timestamp": header.timestamp,
            "finality": "latest",
            "safe_block": safe,
            "finalized_block": finalized,
            "observed_at": time.time(),
            "next_end": None if end is None else {"election": end.public_id, "end_block": end.end_block},
            "block_seconds": None if end is None else end.block_seconds,
        }


def from_subscription(raw: Any) -> Header | None:
    """Read a header as web3's subscription gives it: formatted, with HexBytes and integers."""
    if raw is None:
        return None
    try:
        if isinstance(raw["number"], int):
            return Header(
                number=raw["number"],
                hash="0x" + bytes(raw["hash"]).hex(),
                parent_hash="0x" + bytes(raw["parentHash"]).hex(),
                timestamp=raw["timestamp"],
                bloom=int.from_bytes(bytes(raw["logsBloom"]), "big"),
            )
        return parse_header(raw)
    except (KeyError, TypeError, ValueError, NodeError):
        logger.warning("a newHeads message that is no header")
        return None
