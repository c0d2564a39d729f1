"""Imports web3 and its relatives in one place, and puts back the interpreter settings that they change."""

import sys

_recursion_limit = sys.getrecursionlimit()

import eth_abi  # noqa: E402
from eth_account import Account  # noqa: E402
from eth_utils import keccak, to_checksum_address  # noqa: E402

# py_ecc, which eth-account loads, raises the limit to 100,000: deeply nested JSON from a client would then overflow
# the C stack and end the process instead of raising RecursionError.
sys.setrecursionlimit(_recursion_limit)


def websocket_client(url: str) -> "object":
    """Return web3's client over a WebSocket; web3 itself is loaded only where heads are listened for."""
    from web3 import AsyncWeb3, WebSocketProvider

    sys.setrecursionlimit(_recursion_limit)
    return AsyncWeb3(WebSocketProvider(url, max_connection_retries=1, request_timeout=10))


__all__ = ["Account", "eth_abi", "keccak", "to_checksum_address", "websocket_client"]
