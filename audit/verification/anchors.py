"""Reads anchored roots from the AuditAnchor contract by plain JSON-RPC, without any of our chain code."""

import requests

from audit.verification.database import Claim

COUNT = "0x06661abd"  # count()
ANCHORS = "0x368b733e"  # anchors(uint256)
TIMEOUT_SECONDS = 10


class AnchorsUnreadable(Exception):
    """The node or the contract did not answer as it should."""


def call(url: str, contract: str, data: str) -> bytes:
    body = {"jsonrpc": "2.0", "id": 1, "method": "eth_call", "params": [{"to": contract, "data": data}, "latest"]}
    try:
        answer = requests.post(url, json=body, timeout=TIMEOUT_SECONDS).json()
        return bytes.fromhex(answer["result"].removeprefix("0x"))
    except (requests.RequestException, KeyError, TypeError, AttributeError, ValueError) as error:
        raise AnchorsUnreadable(f"the node at {url} did not answer: {type(error).__name__}") from error


def read_anchors(*, url: str, contract: str) -> list[Claim]:
    """Return every anchored (size, root), oldest first."""
    answer = call(url, contract, COUNT)
    if len(answer) != 32:
        raise AnchorsUnreadable(f"there is no AuditAnchor contract at {contract}")
    claims = []
    for index in range(int.from_bytes(answer)):
        row = call(url, contract, ANCHORS + index.to_bytes(32).hex())
        if len(row) != 96:
            raise AnchorsUnreadable(f"the contract at {contract} did not return anchor {index}")
        size, block, root = int.from_bytes(row[:32]), int.from_bytes(row[32:64]), row[64:]
        claims.append(Claim("anchors", f"anchor {index} (size {size}, block {block})", size, root))
    return claims
