"""Sends transactions: one nonce for each key, fees that rise when the chain does not take them, no second sending.

A transaction's row is written before the node hears of it, with every hash under which it is ever offered. So a
worker that dies anywhere is taken up by the next attempt with the same key: at most one nonce is spent on it. Workers
that are about the same transaction at once take the row's lock to change it, and see each other's hashes.
"""

from chain.services.sending.calls import send, send_to_manager
from chain.services.sending.watching import watch_transactions

__all__ = ["send", "send_to_manager", "watch_transactions"]
