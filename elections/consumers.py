"""`/ws/elections`: each change of an election, after its commit."""

import time
from typing import Any, ClassVar
from urllib.parse import parse_qsl

from channels.db import database_sync_to_async
from rest_framework.exceptions import ValidationError

from accounts.sockets import HeartbeatConsumer
from elections.exceptions import BadParameter
from elections.representation import change_message
from elections.selectors import get_election, get_revision, list_changed
from elections.services.publishing import GROUP

MAX_MISSED = 200


class ElectionsConsumer(HeartbeatConsumer):
    """Pushes `election` and `retraction` messages.

    `?election=ID` narrows them to one, `?since=REVISION` first gives what was missed. On connect a `hello` names the
    newest revision; after more than 200 missed changes comes `many_changed`: read again.
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
        self.push_json({"type": "hello", "revision": await newest_revision()})
        if since is not None:
            for text in await database_sync_to_async(missed)(int(since), self.election):
                self.push(text)

    async def elections_changed(self, message: dict[str, Any]) -> None:
        """Relay what the publisher serialised once for all sockets."""
        self.note_lag(message["published_at"])
        for public_id, text in message["messages"]:
            if not self.election or public_id in ("", self.election):
                self.push(text)


class RevisionMemory:
    """The newest revision, read at most every 200 ms: after a deploy all clients come back at once."""

    revision = 0
    read_at = 0.0


async def newest_revision() -> int:
    if time.monotonic() - RevisionMemory.read_at > 0.2:
        RevisionMemory.read_at = time.monotonic()
        RevisionMemory.revision = await database_sync_to_async(get_revision)()
    return RevisionMemory.revision


def missed(since_revision: int, public_id: str) -> list[str]:
    """Write the messages that a client did not get; only the newest state of each election."""
    changed = list_changed(since_revision=since_revision, limit=MAX_MISSED + 1)
    if len(changed) > MAX_MISSED:
        return [f'{{"type":"many_changed","count":{len(changed)},"revision":{get_revision()}}}']
    return [
        change_message(election=election, reasons=["missed"], is_reorg=election.is_withdrawn)
        for election in changed
        if not public_id or election.public_id == public_id
    ]
