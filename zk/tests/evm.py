"""A few JSON-RPC calls to a development node: deploy, send, call."""

import json
import time
from pathlib import Path
from typing import Any

import requests
from eth_abi import encode
from eth_hash.auto import keccak

from zk.formats import calldata, read_proof, read_signals

ARTIFACTS = Path(__file__).resolve().parent.parent.parent / "chain" / "contracts" / "artifacts"
# A Groth16 check needs its gas named: without, the node's estimate makes it answer False.
GAS = hex(12_000_000)
VERIFIERS = {"voice": "VoiceVerifier", "batch_tally": "BatchTallyVerifier", "eligibility": "SemaphoreVerifier"}
CREATE = "createElection(bytes32,uint64,uint64,uint8,uint256,address)"


class Reverted(Exception):
    """The node refused the transaction or call; the message names the contract's error."""


class Node:
    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.sender = self.call("eth_accounts")[0]
        self.errors: dict[str, str] = {}

    def call(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self.session.post(self.url, json=body, timeout=30).json()
        if "error" in answer:
            data = answer["error"].get("data")
            name = self.errors.get(data[:10], "") if isinstance(data, str) else ""
            raise Reverted(name or answer["error"]["message"])
        return answer["result"]

    def deploy(self, name: str, *arguments: Any) -> str:
        artifact = json.loads((ARTIFACTS / f"{name}.json").read_text())
        for entry in artifact["abi"]:
            if entry["type"] == "error":
                types = ",".join(one["type"] for one in entry["inputs"])
                self.errors["0x" + keccak(f"{entry['name']}({types})".encode())[:4].hex()] = entry["name"]
        types = next((entry["inputs"] for entry in artifact["abi"] if entry["type"] == "constructor"), [])
        data = artifact["bytecode"] + encode([one["type"] for one in types], arguments).hex()
        return self.send(None, data)["contractAddress"]

    def send(self, to: str | None, data: str) -> dict[str, Any]:
        transaction = {"from": self.sender, "data": data, "gas": GAS} | ({"to": to} if to else {})
        if to:
            # A call tells the contract's error by name, a failed transaction does not.
            self.call("eth_call", transaction, "latest")
        tx_hash = self.call("eth_sendTransaction", transaction)
        deadline = time.monotonic() + 60
        while (receipt := self.call("eth_getTransactionReceipt", tx_hash)) is None:
            assert time.monotonic() < deadline, "the transaction was not mined"
            time.sleep(0.02)
        assert int(receipt["status"], 16) == 1
        return dict(receipt)

    def read(self, to: str, data: str) -> bytes:
        return bytes.fromhex(self.call("eth_call", {"to": to, "data": data, "gas": GAS}, "latest")[2:])

    def mine(self, count: int) -> None:
        self.call("anvil_mine", hex(count))

    def block_number(self) -> int:
        return int(self.call("eth_blockNumber"), 16)


def function(signature: str, *arguments: Any) -> str:
    """Encode a call by a signature such as `vote(uint256,uint8)`."""
    types = signature[signature.index("(") + 1 : -1]
    split = [one for one in types.split(",") if one]
    return "0x" + (keccak(signature.encode())[:4] + encode(split, arguments)).hex()


def is_accepted(node: Node, verifier: str, circuit: str, proof: dict, signals: list[str]) -> bool:
    """Ask a deployed verifier about a proof."""
    data = calldata(circuit, read_proof(proof), read_signals(signals, len(signals)))["data"]
    return int.from_bytes(node.read(verifier, data), "big") == 1
