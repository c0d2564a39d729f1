"""Settings of `chain`."""

from typing import Any

from celery.schedules import crontab
from environs import validate

from config.settings.env import env, is_url

# Endpoints of one chain, tried by health; the first is preferred while all are well.
CHAIN_RPC_URLS: list[str] = env.list("CHAIN_RPC_URLS", ["http://127.0.0.1:8545"], validate=is_url("http", "https"))
# newHeads subscription; empty: the first endpoint's address with ws://. "none": poll only.
CHAIN_WS_URL: str = env.str("CHAIN_WS_URL", "", validate=lambda value: value == "none" or is_url("ws", "wss")(value))
CHAIN_ID: int = env.int("CHAIN_ID", 31337)
# profile@address@deployment block, comma-separated; empty: what CHAIN_DEPLOYMENT_FILE names.
CHAIN_CONTRACTS: list[str] = env.list("CHAIN_CONTRACTS", [])
# Address book of a development chain, written by `manage.py deploy_contracts`.
CHAIN_DEPLOYMENT_FILE: str = env.str("CHAIN_DEPLOYMENT_FILE", "")
# Private key of the account that owns ElectionManager and pays; empty: nothing is sent.
CHAIN_SENDER_KEY: str = env.str(
    "CHAIN_SENDER_KEY", "", validate=validate.Regexp(r"^((0x)?[0-9a-fA-F]{64})?$", error="Not 32 bytes in hex.")
)

# A transaction that no block has after so long is offered again with higher fees, up to the ceiling.
CHAIN_STUCK_SECONDS: float = env.float("CHAIN_STUCK_SECONDS", 45.0)
CHAIN_MAX_FEE_GWEI: int = env.int("CHAIN_MAX_FEE_GWEI", 500)
# A worker waits so long for a block before it gives its place to other jobs.
CHAIN_SEND_TIMEOUT_SECONDS: float = env.float("CHAIN_SEND_TIMEOUT_SECONDS", 240.0)

PUBLIC_SENDER_KEYS = {
    "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80",
    "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d",
    "5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a",
    "7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6",
    "47e179ec197488593b187f80a00eb0da91f1b9d0b13f8733639f19c30a34926a",
    "8b3a350cf5c34c9194ca85829a2df0ec3153be0318b5e2d3348e872092edffba",
    "92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e",
    "4bbbf85ce3377467afe5d46f804f221813b2bb87f24d81f60f1fcdbf7cbf4356",
    "dbda1821b80551c9d65939329250298aa3472ba22feea921c0cf5d620ea67b97",
    "2a871d0798f97d79848a013d4936a73bf4cc922c825d33c1cf7073dff6d409c6",
}

# So many endpoints must agree on block hashes and logs; 1: no comparison.
CHAIN_QUORUM: int = env.int("CHAIN_QUORUM", 1)
# Requests a second that one endpoint allows for a method: eth_getLogs=10,eth_call=50. Empty: no limit.
CHAIN_RPC_BUDGETS: dict[str, float] = env.numbers("CHAIN_RPC_BUDGETS", {})
# Blocks of one eth_getLogs call below the finalized block: the start; it adapts to the answers.
CHAIN_RANGE_BLOCKS: int = env.int("CHAIN_RANGE_BLOCKS", 2000)
# "all": every header of a range is read, its parent hash and bloom checked. "events": headers with events only.
CHAIN_HEADER_CHECKS: str = env.str("CHAIN_HEADER_CHECKS", "all", validate=validate.OneOf(["all", "events"]))
# Depth taken as final where the node knows no `finalized` tag.
CHAIN_FINALITY_DEPTH: int = env.int("CHAIN_FINALITY_DEPTH", 64)
# A second endpoint for `manage.py reconcile`; set, it is also asked every night.
CHAIN_RECONCILE_RPC_URL: str = env.str("CHAIN_RECONCILE_RPC_URL", "", validate=is_url("http", "https"))
# Seconds without a newHeads message after which the listener polls.
CHAIN_POLL_SECONDS: float = env.float("CHAIN_POLL_SECONDS", 1.0)

# Checks and takes from the allowance of whoever opens a WebSocket; a dotted path, called with the ASGI scope.
SOCKET_ADMISSION: str = "apikeys.services.admit_socket"

CHAIN_BEAT: dict[str, dict[str, Any]] = {
    "chain.anchor_audit": {
        "task": "chain.anchor_audit",
        "schedule": crontab(hour=0, minute=20),
        "options": {"queue": "chain"},
    },
    "chain.watch_transactions": {
        "task": "chain.watch_transactions",
        "schedule": 20.0,
        "options": {"queue": "chain", "expires": 20},
    },
}
if CHAIN_RECONCILE_RPC_URL:
    CHAIN_BEAT["chain.reconcile"] = {
        "task": "chain.reconcile",
        "schedule": crontab(hour=3, minute=30),
        "options": {"queue": "chain"},
    }
