"""Reads anchored roots from the AuditAnchor contract by plain JSON-RPC, without any of our chain code."""

from typing import Any

import requests

from audit.verification.database import Claim

COUNT = "0x06661abd"  # count()
ANCHORS = "0x368b733e"  # anchors(uint256)
TIMEOUT_SECONDS = 10
# One an hour for a hundred years: a contract that says more is none of ours, or the node lies.
MAX_ANCHORS = 1_000_000


class AnchorsUnreadable(Exception):
    """The node or the contract did not answer as it should."""


def ask(url: str, method: str, *parameters: Any) -> bytes:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters}
    try:
        answer = requests.post(url, json=body, timeout=TIMEOUT_SECONDS).json()
        digits = answer["result"].removeprefix("0x")
        return bytes.fromhex(digits.rjust(len(digits) + len(digits) % 2, "0"))
    except (requests.RequestException, KeyError, TypeError, AttributeError, ValueError) as error:
        raise AnchorsUnreadable(f"the node at {url} did not answer: {type(error).__name__}") from error


def call(url: str, contract: str, data: str) -> bytes:
    return ask(url, "eth_call", {"to": contract, "data": data}, "latest")


def read_chain_id(*, url: str) -> int:
    """Return the number of the chain that the node is of."""
    return int.from_bytes(ask(url, "eth_chainId"))


def read_anchors(*, url: str, contract: str) -> list[Claim]:
    """Return every anchored (size, root), oldest first."""
    answer = call(url, contract, COUNT)
    if len(answer) != 32:
        raise AnchorsUnreadable(f"there is no AuditAnchor contract at {contract}")
    count = int.from_bytes(answer)
    if count > MAX_ANCHORS:
        raise AnchorsUnreadable(f"the contract at {contract} says that it holds {count} anchors")
    claims = []
    for index in range(count):
        row = call(url, contract, ANCHORS + index.to_bytes(32).hex())
        if len(row) != 96:
            raise AnchorsUnreadable(f"the contract at {contract} did not return anchor {index}")
        size, block, root = int.from_bytes(row[:32]), int.from_bytes(row[32:64]), row[64:]
        claims.append(Claim("anchors", f"anchor {index} (size {size}, block {block})", size, root))
    return claims
