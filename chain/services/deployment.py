"""Puts the contracts on a development chain and keeps their addresses."""

import json
import os
import time
from pathlib import Path
from typing import Any

from django.conf import settings

from chain.abi import encode_deployment, has_artifact
from chain.evm import account_from
from chain.exceptions import ConfigurationRefused, NodeError, TransactionFailed
from chain.nodes import Node

# Name in the address book → constructor arguments; those of other rooms are deployed once their artifact is there.
DEPLOYED = ("ElectionManager", "SemaphoreVerifier", "VoiceVerifier", "BatchTallyVerifier", "AuditAnchor")
OWNED = ("ElectionManager", "AuditAnchor")
DEPLOYMENT_GAS = 12_000_000
RECEIPT_TIMEOUT_SECONDS = 60.0


def read_deployment(path: str | Path | None = None) -> dict[str, Any]:
    """Read the address book: chain_id, deployment_block, and an address for each contract; empty when there is none."""
    file = Path(path or settings.CHAIN_DEPLOYMENT_FILE or "")
    if not file.is_file():
        return {}
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def is_deployed(node: Node, book: dict[str, Any]) -> bool:
    """Tell whether every contract of the address book has code on this node's chain."""
    if int(node.call("eth_chainId"), 16) != book.get("chain_id"):
        return False
    wanted = [name for name in DEPLOYED if has_artifact(name)]
    return all(name in book and node.call("eth_getCode", book[name], "latest") not in ("0x", None) for name in wanted)


def deploy_contracts(*, node: Node, sender_key: str, path: str | Path | None = None) -> dict[str, Any]:
    """Deploy every contract that has an artifact, and write the address book when a path is given."""
    if not sender_key:
        raise ConfigurationRefused("CHAIN_SENDER_KEY is not set: there is no account to deploy with")
    account = account_from(sender_key)
    chain_id = int(node.call("eth_chainId"), 16)
    book: dict[str, Any] = {
        "chain_id": chain_id,
        "deployment_block": int(node.call("eth_blockNumber"), 16) + 1,
        "owner": account.address.lower(),
    }
    nonce = int(node.call("eth_getTransactionCount", account.address, "pending"), 16)
    for name in (name for name in DEPLOYED if has_artifact(name)):
        arguments = [account.address] if name in OWNED else []
        book[name] = deploy(
            node=node, account=account, chain_id=chain_id, nonce=nonce, data=encode_deployment(name, arguments)
        )
        nonce += 1
    if path:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place: a reader never sees half of it.
        part = file.with_suffix(".part")
        part.write_text(json.dumps(book, indent=2) + "\n")
        os.replace(part, file)
    return book


def deploy(*, node: Node, account: Any, chain_id: int, nonce: int, data: str) -> str:
    """Create one contract and return its address, lower-case."""
    gas_price = max(int(node.call("eth_gasPrice"), 16) * 2, 1_000_000_000)
    transaction = {
        "chainId": chain_id,
        "nonce": nonce,
        "gas": DEPLOYMENT_GAS,
        "maxFeePerGas": gas_price,
        "maxPriorityFeePerGas": min(gas_price, 1_000_000_000),
        "value": 0,
        "data": data,
    }
    signed = account.sign_transaction(transaction)
    tx_hash = node.call("eth_sendRawTransaction", "0x" + signed.raw_transaction.hex().removeprefix("0x"))
    receipt = await_receipt(node=node, tx_hash=tx_hash)
    if receipt["status"] != "0x1":
        raise TransactionFailed(f"the contract's creation was reverted ({tx_hash})")
    return str(receipt["contractAddress"]).lower()


def await_receipt(*, node: Node, tx_hash: str, timeout_seconds: float = RECEIPT_TIMEOUT_SECONDS) -> dict[str, Any]:
    """Wait until a transaction is mined."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        try:
            receipt: dict[str, Any] | None = node.call("eth_getTransactionReceipt", tx_hash)
        except NodeError:
            receipt = None
        if receipt:
            return receipt
        time.sleep(0.05)
    raise TransactionFailed(f"{tx_hash} was not mined within {timeout_seconds:.0f} s")
