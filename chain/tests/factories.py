"""A development chain with our contracts on it, for tests and benchmarks."""

import time
from typing import Any

from chain.abi import artifact, encode_call, encode_deployment
from chain.evm import keeping_recursion_limit
from chain.nodes import Node

MNEMONIC = "test test test test test test test test test test test junk"
with keeping_recursion_limit():
    from eth_account import Account

Account.enable_unaudited_hdwallet_features()
ACCOUNTS = [Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}") for index in range(10)]
OWNER = ACCOUNTS[0]
METADATA_HASH = bytes.fromhex("11" * 32)
GAS = 3_000_000


class Ground:
    """An anvil node, and transactions on it sent by its unlocked accounts."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.node = Node(url)
        self.manager = ""

    def call(self, method: str, *params: Any) -> Any:
        return self.node.call(method, *params)

    @property
    def height(self) -> int:
        return int(self.call("eth_blockNumber"), 16)

    def mine(self, blocks: int = 1) -> None:
        self.call("anvil_mine", hex(blocks))

    def deploy(self, name: str, *arguments: Any) -> str:
        receipt = self.send(None, encode_deployment(name, list(arguments)), gas=12_000_000)
        return str(receipt["contractAddress"]).lower()

    def deploy_manager(self) -> str:
        self.manager = self.deploy("ElectionManager", OWNER.address)
        return self.manager

    def send(self, to: str | None, data: str, *, sender: int = 0, gas: int = GAS) -> dict[str, Any]:
        """Send a transaction from an unlocked account and return its receipt; a revert raises."""
        transaction = {"from": ACCOUNTS[sender].address, "data": data, "gas": hex(gas)}
        if to:
            transaction["to"] = to
        tx_hash = self.call("eth_sendTransaction", transaction)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            receipt: dict[str, Any] | None = self.call("eth_getTransactionReceipt", tx_hash)
            if receipt:
                return receipt
            time.sleep(0.02)
        raise AssertionError(f"{tx_hash} was not mined")

    def transact(self, name: str, *arguments: Any, sender: int = 0, to: str = "", contract: str = "ElectionManager"):
        return self.send(to or self.manager, encode_call(artifact(contract)["abi"], name, arguments), sender=sender)

    def create_election(self, *, start_in: int = 1, blocks: int = 100, options: int = 3, **fields: Any) -> int:
        """Create an open ballot that starts in so many blocks; return its id."""
        start = self.height + 1 + start_in
        receipt = self.transact(
            "createElection",
            fields.get("metadata_hash", METADATA_HASH),
            start,
            start + blocks,
            options,
            fields.get("census_root", 0),
            fields.get("verifier", "0x" + "0" * 40),
        )
        assert receipt["status"] == "0x1", receipt
        return int(receipt["logs"][0]["topics"][1], 16)

    def vote(self, election_id: int, choice: int, *, sender: int = 1) -> dict[str, Any]:
        receipt = self.transact("vote", election_id, choice, sender=sender)
        assert receipt["status"] == "0x1", receipt
        return receipt
