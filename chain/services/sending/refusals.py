"""What a node or a contract means by its refusal of a transaction."""

from typing import Any

from chain.abi import error_name
from chain.exceptions import CallRefused, Reverted

KNOWN = ("already known", "already imported", "known transaction")
TOO_LOW = ("nonce too low", "nonce is too low", "nonce has already been used")
NO_FUNDS = ("insufficient funds", "insufficient balance")
UNDERPRICED = ("underpriced", "fee too low", "replacement fee")


def is_offered(error: CallRefused) -> bool:
    """Tell whether the node has the transaction already, or one with its nonce that pays more."""
    return _says(error, *KNOWN, *UNDERPRICED)


def has_no_funds(error: CallRefused) -> bool:
    """Tell whether the sender cannot pay."""
    return _says(error, *NO_FUNDS)


def is_nonce_used(error: CallRefused) -> bool:
    """Tell whether a block has a transaction with the nonce: this one, or another."""
    return _says(error, *TOO_LOW)


def _says(error: CallRefused, *words: str) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def name_of(error: Reverted, abi: list[dict[str, Any]]) -> str:
    """Name the custom error with which a contract refused; empty where the ABI does not know it."""
    return error_name(abi, error.data.get("data") if isinstance(error.data, dict) else error.data)
