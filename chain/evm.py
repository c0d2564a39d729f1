"""Loads eth-account and web3 only where they are needed, and puts back the interpreter setting that they change."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eth_account.signers.local import LocalAccount


@contextmanager
def keeping_recursion_limit() -> Iterator[None]:
    """Keep the recursion limit while something is imported.

    py_ecc, which eth-account and web3 load, raises it to 100,000: deeply nested JSON from a client would then overflow
    the C stack and end the process instead of raising RecursionError.
    """
    limit = sys.getrecursionlimit()
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)


def account_from(private_key: str | bytes) -> "LocalAccount":
    """Return the account that a private key signs for. Loading eth-account takes half a second: only senders pay it."""
    with keeping_recursion_limit():
        from eth_account import Account

    account: LocalAccount = Account.from_key(private_key)
    return account


def websocket_client(url: str) -> Any:
    """Return web3's client over a WebSocket."""
    with keeping_recursion_limit():
        from web3 import AsyncWeb3, WebSocketProvider

    return AsyncWeb3(WebSocketProvider(url, max_connection_retries=1, request_timeout=10))
