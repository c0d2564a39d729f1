"""Reads heads, headers and logs from nodes and believes none of it unchecked."""

import functools
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from eth_utils import keccak

from chain.exceptions import BlockNotFound, CallRefused, NodeError, NodeUntrustworthy
from chain.nodes import Node, Nodes

HASH_LENGTH = 66
# So many answers without a `finalized` block in a row mean that the chain has no such tag: depth stands in for it.
UNTAGGED_BELIEVED = 5


@dataclass(frozen=True, slots=True)
class Header:
    """A block header; hashes as `0x…`."""

    number: int
    hash: str
    parent_hash: str
    timestamp: int
    bloom: int


@dataclass(frozen=True, slots=True)
class Head:
    """The newest block, and how far the chain is safe and finalized."""

    header: Header
    safe: int
    finalized: int


@dataclass(frozen=True, slots=True)
class RangeAnswer:
    """All logs of the contracts in `from_block` to `to_block`, and the headers that vouch for them."""

    from_block: int
    to_block: int
    end: Header
    # Headers of blocks with logs, by number; with `is_contiguous` every header of the range was checked.
    headers: dict[int, Header]
    logs: list[dict[str, Any]]


@functools.lru_cache(maxsize=256)
def bloom_mask(address: str) -> int:
    """Return the three bits of a 2048-bit header bloom that an address sets (Yellow Paper, 4.3.1)."""
    digest = keccak(bytes.fromhex(address[2:]))
    mask = 0
    for position in (0, 2, 4):
        mask |= 1 << (int.from_bytes(digest[position : position + 2], "big") & 2047)
    return mask


def may_hold(header: Header, addresses: Iterable[str]) -> bool:
    """Tell whether a block's bloom admits logs of any of the addresses."""
    return any(header.bloom & mask == mask for mask in map(bloom_mask, addresses))


def parse_header(raw: Any, *, node: str = "") -> Header:
    """Check a header's shape."""
    if raw is None:
        raise BlockNotFound("the block is not there", node=node)
    try:
        header = Header(
            number=int(raw["number"], 16),
            hash=raw["hash"].lower(),
            parent_hash=raw["parentHash"].lower(),
            timestamp=int(raw["timestamp"], 16),
            bloom=int(raw["logsBloom"], 16),
        )
        bytes.fromhex(header.hash[2:]), bytes.fromhex(header.parent_hash[2:])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NodeUntrustworthy(f"malformed header: {type(error).__name__}", node=node, check="header") from error
    if len(header.hash) != HASH_LENGTH or len(header.parent_hash) != HASH_LENGTH:
        raise NodeUntrustworthy("malformed header: hash length", node=node, check="header")
    return header


class Reader:
    """Reads one chain through its endpoints."""

    def __init__(self, nodes: Nodes, *, finality_depth: int = 64, checks_all_headers: bool = True) -> None:
        self.nodes = nodes
        self.finality_depth = finality_depth
        self.checks_all_headers = checks_all_headers
        self.untagged = 0

    # Heads and headers

    def head(self) -> Head:
        """Read the newest block and the finality tags from one endpoint."""
        return self.nodes.ask(self._head_of, method="eth_getBlockByNumber")

    def _head_of(self, node: Node) -> Head:
        latest = parse_header(node.call("eth_getBlockByNumber", "latest", False), node=node.name)
        self.nodes.note_head(node, latest.number)
        tags = [self._tag(node, tag) for tag in ("safe", "finalized")]
        if tags[1] is not None:
            self.untagged = 0
            finalized = tags[1]
            safe = tags[0] if tags[0] is not None else finalized
        else:
            # Nothing is final yet, one answer was wrong, or the chain has no such tags: only time tells.
            self.untagged += 1
            is_untagged = self.untagged >= UNTAGGED_BELIEVED
            safe = finalized = max(0, latest.number - self.finality_depth) if is_untagged else 0
        if finalized > latest.number:
            # The head may have moved between the two calls, but not by a reorg below what is final.
            again = parse_header(node.call("eth_getBlockByNumber", "latest", False), node=node.name)
            if finalized > again.number:
                raise NodeUntrustworthy(
                    f"finalized {finalized} above the head {again.number}", node=node.name, check="finalized_above_head"
                )
            latest = again
        return Head(latest, max(min(safe, latest.number), finalized), finalized)

    def _tag(self, node: Node, tag: str) -> int | None:
        """Read the height that a finality tag names, or None where it names none."""
        try:
            raw = node.call("eth_getBlockByNumber", tag, False)
        except (CallRefused, BlockNotFound):
            return None
        return None if raw is None else parse_header(raw, node=node.name).number

    def header(self, number: int) -> Header:
        """Read the canonical header at a height; BlockNotFound when the chain ends below it."""

        def ask(node: Node) -> Header:
            header = parse_header(node.call("eth_getBlockByNumber", hex(number), False), node=node.name)
            if header.number != number:
                raise NodeUntrustworthy(
                    f"asked for block {number}, got {header.number}", node=node.name, check="block_number"
                )
            return header

        return self.nodes.agree(
            lambda node: (lambda header: (header.hash, header))(ask(node)), method="eth_getBlockByNumber", what="block"
        )

    def header_by_hash(self, block_hash: str) -> Header:
        """Read a header by its hash."""

        def ask(node: Node) -> Header:
            header = parse_header(node.call("eth_getBlockByHash", block_hash, False), node=node.name)
            if header.hash != block_hash:
                raise NodeUntrustworthy("another block than asked for", node=node.name, check="block_hash")
            return header

        return self.nodes.ask(ask, method="eth_getBlockByHash")

    def headers(self, numbers: Sequence[int]) -> list[Header]:
        """Read many canonical headers from one endpoint; neighbours must be linked."""

        def ask(node: Node) -> list[Header]:
            raws = node.batch("eth_getBlockByNumber", [(hex(number), False) for number in numbers])
            headers = [parse_header(raw, node=node.name) for raw in raws]
            for number, header in zip(numbers, headers, strict=True):
                if header.number != number:
                    raise NodeUntrustworthy(
                        f"asked for block {number}, got {header.number}", node=node.name, check="block_number"
                    )
            check_links(headers, node=node.name)
            return headers

        return self.nodes.ask(ask, method="eth_getBlockByNumber")

    # Logs

    def range_logs(self, addresses: Sequence[str], from_block: int, to_block: int) -> RangeAnswer:
        """Read the logs of a range at or below the finalized block, and check them against headers.

        Raises TooMuchData when the range must be smaller.
        """
        # The end is pinned first: every endpoint that answers must stand on the same chain.
        end = self.header(to_block)

        def ask(node: Node) -> tuple[Any, RangeAnswer]:
            query = {"fromBlock": hex(from_block), "toBlock": hex(to_block), "address": list(addresses)}
            logs = checked_logs(
                node.call("eth_getLogs", query), addresses=addresses, low=from_block, high=to_block, node=node.name
            )
            headers = self._vouch(node, logs, addresses, from_block, to_block, end)
            return digest_of(logs, self.nodes.quorum), RangeAnswer(from_block, to_block, end, headers, logs)

        return self.nodes.agree(ask, method="eth_getLogs", what="logs")

    def _vouch(
        self,
        node: Node,
        logs: list[dict[str, Any]],
        addresses: Sequence[str],
        from_block: int,
        to_block: int,
        end: Header,
    ) -> dict[int, Header]:
        """Return the headers of the blocks with logs, having compared hashes, links and blooms."""
        hashes: dict[int, str] = {}
        for log in logs:
            hashes[log["blockNumber"]] = log["blockHash"]
        numbers = range(from_block, to_block + 1) if self.checks_all_headers else sorted(hashes)
        raws = node.batch("eth_getBlockByNumber", [(hex(number), False) for number in numbers])
        headers = [parse_header(raw, node=node.name) for raw in raws]
        for number, header in zip(numbers, headers, strict=True):
            if header.number != number:
                raise NodeUntrustworthy(f"asked for block {number}", node=node.name, check="block_number")
        check_links(headers, node=node.name)
        by_number = {header.number: header for header in headers}
        if by_number.get(to_block, end).hash != end.hash:
            raise NodeUntrustworthy(
                "the range does not end in the pinned block", node=node.name, check="block_hash_mismatch"
            )
        for number, block_hash in hashes.items():
            if by_number[number].hash != block_hash:
                raise NodeUntrustworthy(
                    f"a log of block {number} names another block hash", node=node.name, check="block_hash_mismatch"
                )
        for header in headers:
            if header.number not in hashes and may_hold(header, addresses):
                self._refute(node, header, addresses)
        return {number: by_number[number] for number in hashes}

    def block_logs(self, addresses: Sequence[str], header: Header) -> list[dict[str, Any]]:
        """Read the logs of one unfinalized block by its hash."""
        if not may_hold(header, addresses):
            return []

        def ask(node: Node) -> tuple[Any, list[dict[str, Any]]]:
            query = {"blockHash": header.hash, "address": list(addresses)}
            logs = checked_logs(
                node.call("eth_getLogs", query),
                addresses=addresses,
                low=header.number,
                high=header.number,
                node=node.name,
            )
            if any(log["blockHash"] != header.hash for log in logs):
                raise NodeUntrustworthy("a log names another block hash", node=node.name, check="block_hash_mismatch")
            if not logs:
                self._refute(node, header, addresses)
            return digest_of(logs, self.nodes.quorum), logs

        return self.nodes.agree(ask, method="eth_getLogs", what="logs")

    def _refute(self, node: Node, header: Header, addresses: Sequence[str]) -> None:
        """Raise when a block whose bloom admits logs of ours, and which came without, has some in its receipts.

        A bloom says "perhaps": another contract's bits may look like ours. The receipts decide.
        """
        try:
            receipts = node.call("eth_getBlockReceipts", header.hash)
        except CallRefused:
            # Without that method, a second question by the block's hash has to do.
            receipts = [{"logs": node.call("eth_getLogs", {"blockHash": header.hash, "address": list(addresses)})}]
        wanted = {address.lower() for address in addresses}
        for receipt in receipts or []:
            if any(str(log.get("address", "")).lower() in wanted for log in receipt.get("logs") or []):
                raise NodeUntrustworthy(
                    f"no logs of block {header.number}, but its bloom and receipts have some",
                    node=node.name,
                    check="empty_logs",
                )

    def state_at(self, address: str, data: str, header_hash: str, number: int) -> str:
        """Call a view at a block: by hash, by number where the node does not take hashes, and at last at the head."""
        call = {"to": address, "data": data}
        failure: NodeError | None = None
        for block in ({"blockHash": header_hash}, hex(number), "latest"):
            try:
                answer = self.nodes.call("eth_call", call, block)
            except (CallRefused, BlockNotFound) as error:
                # Pruned state: what profiles read this way never changes after the event.
                failure = error
                continue
            return str(answer)
        assert failure is not None
        raise failure


def check_links(headers: Sequence[Header], *, node: str) -> None:
    """Raise when neighbouring headers are not parent and child."""
    for parent, child in itertools.pairwise(headers):
        if child.number == parent.number + 1 and child.parent_hash != parent.hash:
            raise NodeUntrustworthy(
                f"block {child.number} is not the child of {parent.number}", node=node, check="broken_link"
            )


def checked_logs(logs: Any, *, addresses: Sequence[str], low: int, high: int, node: str) -> list[dict[str, Any]]:
    """Check every log's shape and place, and return them in chain order with integers for positions."""
    if not isinstance(logs, list):
        raise NodeUntrustworthy("eth_getLogs: no list", node=node, check="logs")
    wanted = set(addresses)
    # Positions seen, as one integer each; and the block of each transaction.
    seen: set[int] = set()
    blocks_of: dict[str, int] = {}
    is_ordered, previous = True, -1
    number_text, number = "", -1
    try:
        for log in logs:
            # Neighbours are mostly of one block: its number is read once.
            if log["blockNumber"] != number_text:
                number_text = log["blockNumber"]
                number = int(number_text, 16)
                if not low <= number <= high:
                    raise NodeUntrustworthy(f"a log of block {number}, outside", node=node, check="outside_range")
            log["blockNumber"] = number
            index = log["logIndex"] = int(log["logIndex"], 16)
            log["transactionIndex"] = int(log["transactionIndex"], 16)
            tx_hash = log["transactionHash"]
            address = log["address"]
            if address not in wanted:
                address = log["address"] = address.lower()
                if address not in wanted:
                    raise NodeUntrustworthy("a log of another contract", node=node, check="other_address")
            if log.get("removed"):
                raise NodeUntrustworthy("a log marked as removed", node=node, check="removed")
            position = number << 32 | index
            if position <= previous:
                is_ordered = False
                if position in seen:
                    raise NodeUntrustworthy(
                        f"log {index} of block {number} twice", node=node, check="duplicate_log_index"
                    )
            seen.add(position)
            previous = position
            if blocks_of.setdefault(tx_hash, number) != number:
                raise NodeUntrustworthy("one transaction in two blocks", node=node, check="transaction_in_two_blocks")
            # What goes into COPY text must be plain hexadecimal: alphanumeric leaves out every separator.
            if not log["data"].isalnum() or (log["topics"] and not "".join(log["topics"]).isalnum()):
                raise NodeUntrustworthy("a log that is no hexadecimal", node=node, check="logs")
        for block_hash in {log["blockHash"] for log in logs} | set(blocks_of):
            if len(block_hash) != HASH_LENGTH:
                raise NodeUntrustworthy("a hash of the wrong length", node=node, check="logs")
            bytes.fromhex(block_hash[2:])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NodeUntrustworthy(f"malformed log: {type(error).__name__}", node=node, check="logs") from error
    if not is_ordered:
        logs.sort(key=lambda log: (log["blockNumber"], log["logIndex"]))
    return logs


def digest_of(logs: list[dict[str, Any]], quorum: int) -> bytes:
    """Return a digest of what logs state; empty when nobody compares it."""
    if quorum <= 1:
        return b""
    digest = hashlib.sha256()
    for log in logs:
        digest.update(
            f"{log['blockHash']} {log['logIndex']} {log['transactionHash']} {log['address']} "
            f"{','.join(log['topics'])} {log['data']};".encode()
        )
    return digest.digest()
