"""Elections as the JSON that REST answers with and sockets push."""

import json
from typing import Any
from urllib.parse import urlencode

from elections.models import Election
from elections.selectors import (
    DEFAULT_LIMIT,
    DEFAULT_ORDERING,
    get_election,
    list_elections,
)
from elections.serializers import ElectionSerializer, ElectionSummarySerializer


def as_bytes(value: Any) -> bytes:
    # Not orjson: a uint256 from a foreign contract is more than it can write.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def list_body(
    *, status: str | None = None, ordering: str = DEFAULT_ORDERING, limit: int = DEFAULT_LIMIT, cursor: str = ""
) -> bytes:
    """Serialise one page of elections, with the addresses of its neighbours."""
    page = list_elections(status=status, ordering=ordering, limit=limit, cursor=cursor)

    def address(to: str) -> str | None:
        if not to:
            return None
        parameters: dict[str, Any] = {"status": status} if status else {}
        if ordering != DEFAULT_ORDERING:
            parameters["ordering"] = ordering
        if limit != DEFAULT_LIMIT:
            parameters["limit"] = limit
        return f"/elections?{urlencode(parameters | {'cursor': to})}"

    summary = ElectionSummarySerializer()
    results = [summary.to_representation(election) for election in page.elections]
    return as_bytes({"next": address(page.next_cursor), "previous": address(page.previous_cursor), "results": results})


def detail_body(*, public_id: str) -> bytes:
    """Serialise everything about one election."""
    return as_bytes(ElectionSerializer(get_election(public_id=public_id)).data)


def change_message(*, election: Election, reasons: list[str], is_reorg: bool) -> str:
    """Write what a socket pushes when an election changed, or when a reorg took something of it back."""
    message: dict[str, Any] = {
        "type": "retraction" if is_reorg else "election",
        "id": election.public_id,
        "reasons": reasons,
        "finality": election.finality,
        "revision": election.revision,
        "is_withdrawn": election.is_withdrawn,
        "election": None if election.is_withdrawn else ElectionSummarySerializer(election).data,
    }
    return as_bytes(message).decode()
