"""One reader of the elections' changes in a process; it feeds all of the process' sockets (docs/adr/0004)."""

import asyncio
import contextlib
import time
import weakref
from collections.abc import Sequence
from typing import Any, Protocol

import orjson
from channels.db import database_sync_to_async

from accounts.pubsub import follow
from elections import hot_reads
from elections.representation import change_message
from elections.selectors import get_revision, list_changed, list_changed_ids
from elections.services.publishing import LISTS, channel, topic_of

MAX_MISSED = 100
READY_SECONDS = 2
# A revision is drawn before its commit, so an older one may come later: nobody commits later than this.
SETTLE_SECONDS = 30


class Receiver(Protocol):
    """A socket, as the hub sees it."""

    election: str

    def hear(self, texts: list[str], published_at: float | None) -> None: ...


class ElectionHub:
    """Passes each message on; after a lost subscription it passes on what was missed."""

    def __init__(self) -> None:
        self.receivers: weakref.WeakSet[Any] = weakref.WeakSet()
        self.lock = asyncio.Lock()
        self.task: asyncio.Task[None] | None = None
        self.is_ready = asyncio.Event()
        # Grows with each message and each subscription: what was read from the database before may be old.
        self.generation = 0
        self.revision = self.marked = self.settled = 0
        self.marked_at = 0.0

    async def join(self, receiver: Receiver) -> None:
        """Add a socket; what is committed from here on is pushed to it, so it reads the present state after this.

        When Redis does not answer in time the socket gets what it missed once Redis does.
        """
        self.receivers.add(receiver)
        async with self.lock:
            if self.task is None or self.task.done():
                self.revision = self.marked = self.settled = await database_sync_to_async(get_revision)()
                self.marked_at = time.monotonic()
                self.is_ready.clear()
                listening = follow(channel(), subscribed=self.catch_up, take=self.take, lost=self.is_ready.set)
                self.task = asyncio.create_task(listening)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                await self.is_ready.wait()

    async def leave(self, receiver: Receiver) -> None:
        self.receivers.discard(receiver)
        async with self.lock:
            if self.receivers or self.task is None:
                return
            task, self.task = self.task, None
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def take(self, raw: bytes) -> None:
        """Pass a message on: texts by public id, an empty one for everybody."""
        message = orjson.loads(raw)
        self.generation += 1
        self.note(message["revision"])
        self.push(message["messages"], message["published_at"])

    def push(self, messages: Sequence[Sequence[str]], published_at: float | None) -> None:
        texts_of: dict[str, list[str]] = {}
        for receiver in list(self.receivers):
            wanted = receiver.election
            texts = texts_of.get(wanted)
            if texts is None:
                texts = [text for public_id, text in messages if not wanted or public_id in ("", wanted)]
                texts_of[wanted] = texts
            if texts:
                receiver.hear(texts, published_at)

    async def catch_up(self, client: Any) -> None:
        """Push what was committed while nobody listened, after a new subscription."""
        revision, messages = await database_sync_to_async(read_missed)(self.settled, is_lost=self.is_ready.is_set())
        self.generation += 1
        self.note(revision)
        self.push(messages, None)
        self.is_ready.set()

    def note(self, revision: int) -> None:
        """Remember the newest revision, and one that is old enough for all before it to be committed."""
        now = time.monotonic()
        if now - self.marked_at >= SETTLE_SECONDS:
            self.settled, self.marked, self.marked_at = self.marked, self.revision, now
        self.revision = max(self.revision, revision)


def read_missed(since_revision: int, *, is_lost: bool) -> tuple[int, list[tuple[str, str]]]:
    """Return the newest revision and the missed messages; make readers build anew what changed."""
    revision = get_revision()
    messages = missed(since_revision)
    if messages and is_lost:
        # The publisher's word to the readers may have been lost as its message was.
        hot_reads.invalidate([LISTS, *map(topic_of, list_changed_ids(since_revision=since_revision))])
        hot_reads.wait_out_lease()
    return revision, messages


def missed(since_revision: int) -> list[tuple[str, str]]:
    """Write the messages that were not received, only the newest state of each election, with their public ids."""
    changed = list_changed(since_revision=since_revision, limit=MAX_MISSED + 1)
    if len(changed) > MAX_MISSED:
        text = f'{{"type":"many_changed","count":{len(changed)},"revision":{get_revision()}}}'
        return [("", text)]
    return [
        (
            election.public_id,
            change_message(election=election, reasons=["missed"], is_reorg=election.is_withdrawn),
        )
        for election in changed
    ]


hubs: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, ElectionHub] = weakref.WeakKeyDictionary()


def get_hub() -> ElectionHub:
    """Return the hub of this process' event loop."""
    loop = asyncio.get_running_loop()
    hub = hubs.get(loop)
    if hub is None:
        hub = hubs[loop] = ElectionHub()
    return hub
