"""One reader of the chain's messages in a process; it feeds all of the process' sockets.

A message is read from Redis once and written as JSON once for each election that sockets ask about, so a socket
costs no query, no call to a node, and no task of its own.
"""

import asyncio
import contextlib
import logging
import time
import weakref
from collections import deque
from collections.abc import Iterable
from typing import Any, Protocol

import orjson
from channels.db import database_sync_to_async
from django.conf import settings

from accounts.pubsub import follow
from chain import metrics
from chain.models import Block
from chain.selectors import get_checkpoint, get_ends
from chain.services.publishing import REPLAY_HEADS, channel_of, replay_key

logger = logging.getLogger(__name__)

REPEAT_SECONDS = 3.0
# Margin for timers: a repeat may be early, never late.
REPEAT_AFTER_SECONDS = 2.5
RESOLVE_SECONDS = 5.0
MAX_FROM_DATABASE = 1000
Message = dict[str, Any]


class Receiver(Protocol):
    """A socket, as the hub sees it."""

    election: str

    def push(self, text: str) -> None: ...

    def note_lag(self, published_at: float) -> None: ...


class HeadHub:
    """Keeps the newest head and the recent messages of one chain, and passes them on."""

    def __init__(self, chain_id: int) -> None:
        self.chain_id = chain_id
        self.receivers: weakref.WeakSet[Any] = weakref.WeakSet()
        self.recent: deque[Message] = deque(maxlen=REPLAY_HEADS)
        self.current: Message | None = None
        self.ends: dict[str, int | None] = {}
        self.resolved_at = 0.0
        self.sent_at = 0.0
        self.tasks: list[asyncio.Task[None]] = []
        self.is_ready = asyncio.Event()
        self.joining = 0

    # Sockets

    async def join(self, receiver: Any, *, since: int | None = None, block_hash: str = "") -> list[str]:
        """Add a socket and return what it gets first: what it missed since a block, then the current state.

        Waits until the newest head is known, or Redis has not answered in time.
        """
        # Counted, so that the last one to leave does not stop what this one waits for.
        self.joining += 1
        try:
            return await self._join(receiver, since, block_hash)
        finally:
            self.joining -= 1

    async def _join(self, receiver: Any, since: int | None, block_hash: str) -> list[str]:
        if not self.tasks or any(task.done() for task in self.tasks):
            await self.stop()
            self.is_ready.clear()
            self.sent_at = time.monotonic()
            self.tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._repeat())]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self.is_ready.wait()
        if self.current is None:
            self.current = await database_sync_to_async(self._from_checkpoint)()
        if receiver.election and receiver.election not in self.ends:
            self.ends |= await database_sync_to_async(get_ends)([receiver.election])
        before: list[Message] = []
        if since is not None and self._place_of(since, block_hash) is None:
            oldest = next((message["block"] for message in self.recent if message["type"] == "block"), None)
            before = await database_sync_to_async(self._from_blocks)(since + 1, oldest)
        # No await from here on: a head that comes now would be told twice, or not at all.
        texts = []
        if since is not None:
            place = self._place_of(since, block_hash)
            recent = list(self.recent)
            if place is not None:
                missed = recent[place + 1 :]
            else:
                newer = [message for message in recent if message["type"] != "block" or message["block"] > since]
                missed = [*before, *newer]
            texts = [self._write(message, receiver.election) for message in missed]
        texts.append(self._write(self.current, receiver.election))
        self.receivers.add(receiver)
        metrics.sockets.set(len(self.receivers))
        return texts

    async def leave(self, receiver: Any) -> None:
        self.receivers.discard(receiver)
        metrics.sockets.set(len(self.receivers))
        if not self.receivers and not self.joining:
            await self.stop()

    async def stop(self) -> None:
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _place_of(self, block: int, block_hash: str) -> int | None:
        """Find the last message about a block among the recent ones."""
        for place in range(len(self.recent) - 1, -1, -1):
            message = self.recent[place]
            if message["type"] == "block" and message["block"] == block and block_hash in ("", message["hash"]):
                return place
        return None

    def _from_blocks(self, low: int, high: int | None) -> list[Message]:
        blocks = Block.objects.canonical().filter(chain_id=self.chain_id, number__gte=low)
        if high is not None:
            blocks = blocks.filter(number__lt=high)
        return [
            {
                "type": "block",
                "chain_id": self.chain_id,
                "block": block.number,
                "hash": "0x" + bytes(block.hash).hex(),
                "timestamp": block.timestamp,
                "finality": "latest",
            }
            for block in reversed(blocks.order_by("-number")[:MAX_FROM_DATABASE])
        ]

    def _from_checkpoint(self) -> Message | None:
        checkpoint = get_checkpoint(self.chain_id)
        if checkpoint is None or checkpoint.block_number < 0:
            return None
        return {
            "type": "block",
            "chain_id": self.chain_id,
            "block": checkpoint.block_number,
            "hash": "0x" + bytes(checkpoint.block_hash).hex(),
            "timestamp": checkpoint.block_timestamp,
            "finality": "latest",
            "safe_block": checkpoint.safe_block,
            "finalized_block": checkpoint.finalized_block,
        }

    # Messages

    def take(self, message: Message) -> None:
        """Pass a message on to every socket."""
        self.recent.append(message)
        if message["type"] == "block":
            if self.current is not None and message["hash"] == self.current.get("hash"):
                return
            self.current = message
        self.send(message)

    def send(self, message: Message, *, is_repeat: bool = False) -> None:
        texts: dict[str, str] = {}
        observed_at = None if is_repeat else message.get("observed_at")
        for receiver in list(self.receivers):
            text = texts.get(receiver.election)
            if text is None:
                text = texts[receiver.election] = self._write(message, receiver.election, is_repeat=is_repeat)
            if observed_at is not None:
                receiver.note_lag(observed_at)
            receiver.push(text)
        self.sent_at = time.monotonic()

    def _write(self, message: Message | None, election: str, *, is_repeat: bool = False) -> str:
        """Write a message as a socket gets it: `remaining` is of its election, or of the one that ends next."""
        if message is None:
            return '{"type":"block","block":null,"remaining":null}'
        if message["type"] != "block":
            return orjson.dumps(message).decode()
        block = message["block"]
        following = message.get("next_end")
        end: int | None = None
        of: str | None = election or None
        if election:
            end = self.ends.get(election)
        elif following:
            end, of = following["end_block"], following["election"]
        remaining = None if end is None else max(0, end - block)
        pace = message.get("block_seconds")
        body = {key: value for key, value in message.items() if key not in ("next_end", "block_seconds")}
        body["remaining"] = remaining
        body["seconds"] = None if remaining is None or pace is None else round(remaining * pace, 1)
        body["election"] = of
        if is_repeat:
            body["is_repeat"] = True
        return orjson.dumps(body).decode()

    # Tasks

    async def _listen(self) -> None:
        await follow(channel_of(self.chain_id), subscribed=self._subscribed, take=self._hear, lost=self.is_ready.set)

    async def _subscribed(self, client: Any) -> None:
        # Subscribed first, then the past: what falls in between comes twice and is left out by `_hear`.
        await self._catch_up(client)
        self.is_ready.set()

    def _hear(self, raw: bytes) -> None:
        message = orjson.loads(raw)
        if not self._is_known(message):
            self.take(message)

    async def _catch_up(self, client: Any) -> None:
        raws = await client.lrange(replay_key(self.chain_id), 0, REPLAY_HEADS - 1)
        messages = [orjson.loads(raw) for raw in reversed(raws)]
        if self.current is None:
            self.recent.extend(messages)
            heads = [message for message in messages if message["type"] == "block"]
            self.current = heads[-1] if heads else None
            return
        for message in messages:
            if not self._is_known(message):
                self.take(message)

    def _is_known(self, message: Message) -> bool:
        return message in self.recent

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            now = time.monotonic()
            if now - self.resolved_at >= RESOLVE_SECONDS:
                self.resolved_at = now
                await self._resolve()
            if self.current is not None and now - self.sent_at >= REPEAT_AFTER_SECONDS:
                self.send(self.current, is_repeat=True)

    async def _resolve(self) -> None:
        """Look the sockets' elections up again: one may be cancelled, or taken back by a reorg."""
        wanted = {receiver.election for receiver in list(self.receivers) if receiver.election}
        if not wanted:
            self.ends = {}
            return
        try:
            self.ends = await database_sync_to_async(get_ends)(wanted)
        except Exception as error:
            logger.warning("elections' ends could not be read", extra={"kind": type(error).__name__})


hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, HeadHub] = weakref.WeakKeyDictionary()


def get_hub() -> HeadHub:
    """Return this process' hub."""
    loop = asyncio.get_running_loop()
    hub = hubs.get(loop)
    if hub is None:
        hub = hubs[loop] = HeadHub(settings.CHAIN_ID)
    return hub


def all_hubs() -> Iterable[HeadHub]:
    return list(hubs.values())
