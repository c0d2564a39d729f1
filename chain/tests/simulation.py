"""A chain in memory and nodes that serve it, honestly or not: what no real node can be made to answer."""

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import eth_abi

from chain.abi import artifact, find, topic0, type_of
from chain.exceptions import BlockNotFound, NodeError, NodeUnavailable, RangeCapped, TooMuchData
from chain.nodes import Nodes
from chain.profiles import profiles
from chain.reading import Reader, bloom_mask

CHAIN_ID = 31337
MANAGER = "0x" + "aa" * 20
TOTING = "0x" + "bb" * 20
OLDER = "0x" + "cc" * 20
STRANGER = "0x" + "dd" * 20
CONTRACTS = {MANAGER: "psephos", TOTING: "toting-v2", OLDER: "toting-v2-older"}
ZERO = "0x" + "0" * 40


def event(address: str, name: str, *values: Any) -> dict[str, Any]:
    """Make the contract's part of a log."""
    abi = artifact(profiles()[CONTRACTS[address]].artifact_name)["abi"]
    entry = find(abi, "event", name)
    topics, kinds, data = [topic0(entry)], [], []
    for parameter, value in zip(entry["inputs"], values, strict=True):
        kind = type_of(parameter)
        if parameter["indexed"]:
            topics.append("0x" + eth_abi.encode([kind], [value]).hex())
        else:
            kinds.append(kind)
            data.append(value)
    return {"address": address, "topics": topics, "data": "0x" + eth_abi.encode(kinds, data).hex()}


def creation(election_id: int, *, start: int = 1, end: int = 1000, options: int = 3) -> dict[str, Any]:
    return event(MANAGER, "ElectionCreated", election_id, b"\x11" * 32, start, end, options, 0, ZERO)


def ballot(election_id: int, nullifier: int, choice: int = 0) -> dict[str, Any]:
    return event(MANAGER, "VoteCast", election_id, nullifier, choice)


@dataclass
class SimulatedBlock:
    """A block: its header as a node gives it, and the logs of each of its transactions."""

    header: dict[str, Any]
    transactions: list[tuple[str, list[dict[str, Any]]]]

    @property
    def number(self) -> int:
        return int(self.header["number"], 16)

    @property
    def logs(self) -> list[dict[str, Any]]:
        return [log for _, logs in self.transactions for log in logs]

    @property
    def receipts(self) -> list[dict[str, Any]]:
        return [
            {"transactionHash": tx_hash, "transactionIndex": hex(index), "logs": logs}
            for index, (tx_hash, logs) in enumerate(self.transactions)
        ]


class SimulatedChain:
    """Blocks with forks; no EVM: logs are put in as they should come out."""

    def __init__(self, height: int = 0) -> None:
        self.salt = 0
        self.by_hash: dict[str, SimulatedBlock] = {}
        self.canonical: list[SimulatedBlock] = []
        self.safe = self.finalized = 0
        # What `elections(id)` of a toting contract answers.
        self.dates: dict[tuple[str, int], tuple[int, int]] = {}
        for _ in range(height + 1):
            self.mine()

    @property
    def height(self) -> int:
        return len(self.canonical) - 1

    def draw_hash(self) -> str:
        self.salt += 1
        return "0x" + hashlib.sha256(str(self.salt).encode()).hexdigest()

    def mine(
        self, *transactions: Sequence[dict[str, Any]], seconds: int = 12, tx_hashes: Sequence[str] = ()
    ) -> SimulatedBlock:
        """Append a block whose transactions emit these logs."""
        number, block_hash = len(self.canonical), self.draw_hash()
        parent = self.canonical[-1].header if self.canonical else {"hash": "0x" + "00" * 32, "timestamp": "0x1000"}
        bloom, index, done = 0, 0, []
        for place, events in enumerate(transactions):
            tx_hash = tx_hashes[place] if tx_hashes else self.draw_hash()
            logs = []
            for one in events:
                for part in (one["address"], *one["topics"]):
                    bloom |= bloom_mask(part)
                logs.append(
                    one
                    | {
                        "blockNumber": hex(number),
                        "blockHash": block_hash,
                        "transactionHash": tx_hash,
                        "transactionIndex": hex(place),
                        "logIndex": hex(index),
                        "removed": False,
                    }
                )
                index += 1
            done.append((tx_hash, logs))
        header = {
            "number": hex(number),
            "hash": block_hash,
            "parentHash": parent["hash"],
            "timestamp": hex(max(0, int(parent["timestamp"], 16) + seconds)),
            "logsBloom": hex(bloom),
        }
        block = SimulatedBlock(header, done)
        self.canonical.append(block)
        self.by_hash[block_hash] = block
        return block

    def reorg(self, depth: int) -> list[SimulatedBlock]:
        """Take back so many blocks, and return them."""
        cut = len(self.canonical) - depth
        gone, self.canonical = self.canonical[cut:], self.canonical[:cut]
        return gone

    def restore(self, blocks: Sequence[SimulatedBlock]) -> None:
        """Put blocks of an abandoned fork back where they were."""
        self.canonical = self.canonical[: blocks[0].number] + list(blocks)

    def logs(self, address: str) -> list[dict[str, Any]]:
        return [log for block in self.canonical for log in block.logs if log["address"] == address]


Answer = Callable[[Any], Any]


@dataclass(eq=False)
class SimulatedNode:
    """Answers as a node does. A lie is told to the next call of its method that it changes anything about."""

    chain: SimulatedChain
    name: str = "simulated"
    lies: list[tuple[str, Answer]] = field(default_factory=list)
    told: int = 0
    calls: list[str] = field(default_factory=list)

    def call(self, method: str, *params: Any, timeout_seconds: float | None = None) -> Any:
        self.calls.append(method)
        answer = getattr(self, method)(*params)
        for place, (its_method, lie) in enumerate(self.lies):
            if its_method == method:
                del self.lies[place]
                self.told += 1
                return lie(answer)
        return answer

    def batch(self, method: str, many_params: Sequence[Sequence[Any]], *, size: int = 200) -> list[Any]:
        return [self.call(method, *params) for params in many_params]

    def eth_chainId(self) -> str:
        return hex(CHAIN_ID)

    def eth_getCode(self, address: str, block: str) -> str:
        return "0x60" + "".join(topic[2:] for topic in profiles()[CONTRACTS[address]].decoders)

    def eth_getBlockByNumber(self, tag: str, full: bool) -> Any:
        heights = {"latest": self.chain.height, "safe": self.chain.safe, "finalized": self.chain.finalized}
        number = heights[tag] if tag in heights else int(tag, 16)
        return dict(self.chain.canonical[number].header) if 0 <= number <= self.chain.height else None

    def eth_getBlockByHash(self, block_hash: str, full: bool) -> Any:
        block = self.chain.by_hash.get(block_hash)
        return dict(block.header) if block else None

    def eth_getLogs(self, query: dict[str, Any]) -> Any:
        if "blockHash" in query:
            block = self.chain.by_hash.get(query["blockHash"])
            if block is None:
                raise BlockNotFound("unknown block", node=self.name)
            blocks = [block]
        else:
            low, high = int(query["fromBlock"], 16), int(query["toBlock"], 16)
            blocks = self.chain.canonical[low : high + 1]
        return [dict(log) for block in blocks for log in block.logs if log["address"] in query["address"]]

    def eth_getBlockReceipts(self, block: str) -> Any:
        found = self.chain.by_hash.get(block)
        if found is None:
            return None
        return [receipt | {"logs": [dict(log) for log in receipt["logs"]]} for receipt in found.receipts]

    def eth_call(self, call: dict[str, Any], block: Any) -> str:
        start, end = self.chain.dates[call["to"], int(call["data"][10:], 16)]
        return "0x" + eth_abi.encode(["uint128", "uint128"], [start, end]).hex()


def reader_of(*nodes: SimulatedNode, quorum: int = 1, **options: Any) -> Reader:
    """Make a reader of simulated nodes."""
    pool = Nodes([f"http://{number}.invalid" for number in range(len(nodes))], chain_id=CHAIN_ID, quorum=quorum)
    pool.health = dict(zip(nodes, pool.health.values(), strict=True))  # type: ignore[arg-type]
    pool.nodes = list(nodes)  # type: ignore[arg-type]
    return Reader(pool, **options)


# Lies


def failing(error: type[NodeError], **fields: Any) -> Answer:
    def lie(answer: Any) -> Any:
        raise error("simulated", node="simulated", **fields)

    return lie


def changing(**fields: Any) -> Answer:
    """Change fields of the answer's last item, or of the answer."""

    def lie(answer: Any) -> Any:
        if isinstance(answer, list):
            return [*answer[:-1], answer[-1] | fields] if answer else answer
        return None if answer is None else answer | fields

    return lie


def half(answer: Any) -> Any:
    return answer[: len(answer) // 2]


def thinned(seed: int) -> Answer:
    """Leave one item out."""

    def lie(answer: Any) -> Any:
        if not answer:
            return answer
        place = random.Random(seed).randrange(len(answer))
        return [*answer[:place], *answer[place + 1 :]]

    return lie


HUGE = hex(2**63)
LOG_LIES: dict[str, Answer] = {
    "empty": lambda answer: [],
    "half": half,
    "first left out": lambda answer: answer[1:],
    "last left out": lambda answer: answer[:-1],
    "no list": lambda answer: {"logs": answer},
    "null": lambda answer: None,
    "no objects": lambda answer: [*answer, "log"],
    "removed": changing(removed=True),
    "twice": lambda answer: answer + answer[-1:],
    "pending": changing(blockNumber=None, blockHash=None, logIndex=None, transactionIndex=None),
    "pending without a number": changing(blockNumber=None),
    "pending without a hash": changing(blockHash=None),
    "another block": changing(blockHash="0x" + "ee" * 32),
    "no hash": changing(blockHash="0x12"),
    "a negative index": changing(logIndex="-0x1"),
    "a huge index": changing(logIndex=HUGE),
    "a huge transaction index": changing(transactionIndex=HUGE),
    "a stranger's": changing(address=STRANGER),
    "no hexadecimal": changing(data="0xzz"),
    "half a byte": changing(data="0x123"),
    "no prefix": changing(data="1234"),
    "a tab in the data": changing(data="0x\t1"),
    "other digits": changing(data="0x" + "٣" * 64),
    "a short topic": changing(topics=["0x12"]),
    "a topic that is no text": changing(topics=[12]),
    "no topics": changing(topics=None),
    "a number as data": changing(data=7),
    "silence": failing(NodeUnavailable),
    "too much": failing(TooMuchData),
    "a cap": failing(RangeCapped, cap=3),
    "unknown block": failing(BlockNotFound),
}
HEADER_LIES: dict[str, Answer] = {
    "null": lambda answer: None,
    "a list": lambda answer: [answer],
    "another hash": changing(hash="0x" + "ef" * 32),
    "another parent": changing(parentHash="0x" + "ef" * 32),
    "another number": changing(number="0x0"),
    "a negative number": changing(number="-0x1"),
    "a huge number": changing(number=HUGE),
    "a huge time": changing(timestamp=HUGE),
    "a negative time": changing(timestamp="-0x1"),
    "a full bloom": changing(logsBloom="0x" + "ff" * 256),
    "no bloom": changing(logsBloom=None),
    "silence": failing(NodeUnavailable),
}
RECEIPT_LIES: dict[str, Answer] = {
    "null": lambda answer: None,
    "no list": lambda answer: {},
    "no objects": lambda answer: [1],
    "logs that are none": lambda answer: [{"logs": 3}],
    "silence": failing(NodeUnavailable),
}
LIES: list[tuple[str, str, Answer]] = [
    *(("eth_getLogs", name, lie) for name, lie in LOG_LIES.items()),
    *(("eth_getBlockByNumber", name, lie) for name, lie in HEADER_LIES.items()),
    *(("eth_getBlockByHash", name, lie) for name, lie in HEADER_LIES.items()),
    *(("eth_getBlockReceipts", name, lie) for name, lie in RECEIPT_LIES.items()),
]
