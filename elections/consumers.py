"""`/ws/elections`: each change of an election, after its commit."""

import asyncio
import time
from functools import partial
from typing import Any, ClassVar
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from channels.db import database_sync_to_async
from rest_framework.exceptions import ValidationError

from accounts.sockets import HeartbeatConsumer
from elections.exceptions import BadParameter
from elections.representation import change_message
from elections.selectors import get_election, get_revision, list_changed
from elections.services.publishing import GROUP

MAX_MISSED = 100
REMEMBERED_SECONDS = 0.5


class ElectionsConsumer(HeartbeatConsumer):
    """Pushes `election` and `retraction` messages.

    `?election=ID` narrows them to one, `?since=REVISION` first gives what was missed. On connect a `hello` names the
    newest revision; after more than 100 missed changes comes `many_changed`: read again.
    """

    groups: ClassVar[list[str]] = [GROUP]
    election = ""

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
        self.push_json({"type": "hello", "revision": await ask(None)})
        if since is not None:
            for public_id, text in await ask(int(since)):
                if not self.election or public_id in ("", self.election):
                    self.push(text)

    async def elections_changed(self, message: dict[str, Any]) -> None:
        """Relay what the publisher serialised once for all sockets."""
        self.note_lag(message["published_at"])
        for public_id, text in message["messages"]:
            if not self.election or public_id in ("", self.election):
                self.push(text)


class Memory:
    """What reconnecting sockets ask for, read at most twice a second: after a deploy all clients come back at once.

    One asks the database, the others wait for its answer; a client that is told a little less than the newest gets the
    rest by push, for it joined the group before it asked.
    """

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.answers: dict[int | None, tuple[float, Any]] = {}

    async def ask(self, since: int | None) -> Any:
        """Return the newest revision (None), or what changed since one as pairs of public id and text."""
        async with self.lock:
            read_at, answer = self.answers.get(since, (0.0, None))
            if time.monotonic() - read_at > REMEMBERED_SECONDS:
                if len(self.answers) > 50:
                    self.answers.clear()
                read_at = time.monotonic()
                reader = get_revision if since is None else partial(missed, since)
                answer = await database_sync_to_async(reader)()
                self.answers[since] = (read_at, answer)
            return answer


memories: "WeakKeyDictionary[asyncio.AbstractEventLoop, Memory]" = WeakKeyDictionary()


async def ask(since: int | None) -> Any:
    """Ask the memory of this event loop."""
    return await memories.setdefault(asyncio.get_running_loop(), Memory()).ask(since)


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
