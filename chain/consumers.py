"""`/ws/chain`: the newest block, and how many blocks are left until an election ends."""

import re
from urllib.parse import parse_qsl

from channels.db import database_sync_to_async
from rest_framework.exceptions import ValidationError

from accounts.sockets import HubConsumer
from chain.hub import get_hub
from elections.selectors import get_election

HASH = re.compile(r"0x[0-9a-f]{64}")


class ChainConsumer(HubConsumer):
    """Pushes `block` and `retraction` messages.

    `?election=ID` counts the blocks to that election's end instead of the next end of all. `?since=BLOCK`, and
    `&hash=0x…` for certainty, first gives what came after the last block seen.
    """

    election = ""

    async def opened(self) -> None:
        parameters = dict(parse_qsl(self.scope["query_string"].decode("latin-1"), keep_blank_values=True))
        unknown = sorted(set(parameters) - {"election", "since", "hash"})
        if unknown:
            raise ValidationError(f"Unknown parameter: {unknown[0][:40]}.", code="unknown_parameter")
        since, block_hash = parameters.get("since"), parameters.get("hash", "").lower()
        if since is not None and not (since.isascii() and since.isdigit() and len(since) < 19):
            raise ValidationError("`since` is a block number.", code="malformed_since")
        if block_hash and (since is None or not HASH.fullmatch(block_hash)):
            raise ValidationError("`hash` is the hash of the block `since`, 0x…", code="malformed_hash")
        if "election" in parameters:
            found = await database_sync_to_async(get_election)(public_id=parameters["election"])
            self.election = found.public_id
        first = await get_hub().join(self, since=None if since is None else int(since), block_hash=block_hash)
        for text in first:
            self.push(text)

    async def gone(self) -> None:
        await get_hub().leave(self)
