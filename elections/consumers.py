"""`/ws/elections`: each change of an election, after its commit."""

import asyncio
import time
from functools import partial
from typing import Any
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from rest_framework.exceptions import ValidationError

from accounts.sockets import HubConsumer
from elections.exceptions import BadParameter
from elections.hub import get_hub, missed
from elections.selectors import get_election, get_revision

REMEMBERED_SECONDS = 0.5


class ElectionsConsumer(HubConsumer):
    """Pushes `election` and `retraction` messages.

    `?election=ID` narrows them to one, `?since=REVISION` first gives what was missed. On connect a `hello` names the
    newest revision; after more than 100 missed changes comes `many_changed`: read again.
    """

    election = ""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What the hub says before the greeting is out.
        self.held: list[str] | None = []

    async def opened(self) -> None:
        parameters = dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))
        unknown = sorted(set(parameters) - {"election", "since"})
        if unknown:
            raise BadParameter(f"Unknown parameter: {unknown[0][:40]}.", code="unknown_parameter")
        since = parameters.get("since")
        if since is not None and not (since.isascii() and since.isdigit() and len(since) < 19):
            raise BadParameter("`since` is a revision.", code="malformed_since")
        if "election" in parameters:
            try:
                found = await database_sync_to_async(get_election)(public_id=parameters["election"])
            except ValidationError:
                raise BadParameter("`election` is an election's id.", code="malformed_election") from None
            self.election = found.public_id
        # Joined before the revision is read: what is committed in between is pushed.
        await get_hub().join(self)
        self.push_json({"type": "hello", "revision": await ask(None)})
        if since is not None:
            for public_id, text in await ask(int(since)):
                if not self.election or public_id in ("", self.election):
                    self.push(text)
        while self.held and self.pending:
            # The greeting goes out first; both together could look like a client that does not read.
            await asyncio.sleep(0.005)
        held, self.held = self.held or [], None
        for text in held:
            self.push(text)

    def hear(self, texts: list[str], published_at: float | None) -> None:
        """Queue what the publisher serialised once for all sockets."""
        if published_at is not None:
            self.note_lag(published_at)
        if self.held is not None:
            self.held.extend(texts)
            return
        for text in texts:
            self.push(text)

    async def gone(self) -> None:
        await get_hub().leave(self)


class Memory:
    """What reconnecting sockets ask for, read once for all of them: after a deploy all clients come back at once.

    One asks the database, the others wait for its answer. An answer holds until the hub hears of a change: a socket
    that joined before that gets the change by push, one that joined after it is told of it.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.answers: dict[int | None, tuple[float, int, Any]] = {}

    async def ask(self, since: int | None) -> Any:
        """Return the newest revision (None), or what changed since one as pairs of public id and text."""
        async with self.lock:
            generation = get_hub().generation
            read_at, read_in, answer = self.answers.get(since, (0.0, -1, None))
            if read_in != generation or time.monotonic() - read_at > REMEMBERED_SECONDS:
                if len(self.answers) > 50:
                    self.answers.clear()
                read_at = time.monotonic()
                reader = get_revision if since is None else partial(missed, since)
                answer = await database_sync_to_async(reader)()
                self.answers[since] = (read_at, generation, answer)
            return answer


memories: "WeakKeyDictionary[asyncio.AbstractEventLoop, Memory]" = WeakKeyDictionary()


async def ask(since: int | None) -> Any:
    """Ask the memory of this event loop."""
    return await memories.setdefault(asyncio.get_running_loop(), Memory()).ask(since)
