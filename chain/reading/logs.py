"""Logs as a node gives them, checked: shape, place, and that none is missing."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from chain.exceptions import BlockNotFound, CallRefused, NodeUntrustworthy
from chain.nodes import Node
from chain.reading.blooms import bloom_of
from chain.reading.headers import HASH_LENGTH, Header

Log = dict[str, Any]
# What the database keeps of an index; no block comes near it.
LARGEST_INDEX = 2**31
# Receipts of whole blocks are big.
RECEIPTS_AT_ONCE = 10
# The bloom of a block with more logs is so full that it would explain any.
MAX_BLOOMED_LOGS = 400


def checked_logs(logs: Any, *, addresses: Sequence[str], low: int, high: int, node: str) -> list[Log]:
    """Check every log's shape and place, and return them in chain order with integers for positions."""
    if not isinstance(logs, list):
        raise NodeUntrustworthy("eth_getLogs: no list", node=node, check="logs")
    wanted = set(addresses)
    # Positions seen, as one integer each; and the block of each transaction.
    seen: set[int] = set()
    blocks_of: dict[str, int] = {}
    topics_seen: set[str] = set()
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
            tx_index = log["transactionIndex"] = int(log["transactionIndex"], 16)
            if not (0 <= index < LARGEST_INDEX and 0 <= tx_index < LARGEST_INDEX):
                raise NodeUntrustworthy("a log's index out of bounds", node=node, check="logs")
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
            # What goes into COPY text must be plain hexadecimal: alphanumeric leaves out every separator, and what
            # is left is read as hexadecimal below, all at once.
            data = log["data"]
            if data[:2] != "0x" or len(data) & 1 or not data.isalnum():
                raise NodeUntrustworthy("a log's data are no bytes", node=node, check="logs")
            topics_seen.update(log["topics"])
        bytes.fromhex("".join([log["data"][2:] for log in logs]))
        check_words({log["blockHash"] for log in logs} | set(blocks_of) | topics_seen, node=node)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise NodeUntrustworthy(f"malformed log: {type(error).__name__}", node=node, check="logs") from error
    if not is_ordered:
        logs.sort(key=lambda log: (log["blockNumber"], log["logIndex"]))
    return logs


def check_words(words: Collection[str], *, node: str) -> None:
    """Raise when one of the texts is not `0x` and 32 bytes in hexadecimal."""
    for word in words:
        if len(word) != HASH_LENGTH or word[:2] != "0x" or not word.isalnum():
            raise NodeUntrustworthy("a hash or topic is no 32 bytes", node=node, check="logs")
    bytes.fromhex("".join([word[2:] for word in words]))


def check_complete(node: Node, headers: Sequence[Header], logs: dict[int, list[Log]], addresses: Sequence[str]) -> None:
    """Raise when the receipts of a block have logs of ours that its logs, by block number, leave out.

    A bloom says "perhaps": another contract's bits may look like ours. The receipts decide, and are themselves held
    against the bloom: who leaves a log out of both answers is found by the bits that are left over.
    """
    for start in range(0, len(headers), RECEIPTS_AT_ONCE):
        some = headers[start : start + RECEIPTS_AT_ONCE]
        try:
            answers = node.batch("eth_getBlockReceipts", [(header.hash,) for header in some])
        except CallRefused:
            # Without that method, a second question by the block's hash has to do.
            queries = [({"blockHash": header.hash, "address": list(addresses)},) for header in some]
            found = [list_of_dicts(answer, node) for answer in node.batch("eth_getLogs", queries)]
        else:
            found = [logs_of_receipts(answer, header, node) for answer, header in zip(answers, some, strict=True)]
        for header, there in zip(some, found, strict=True):
            compare(header, there, logs.get(header.number, []), addresses, node)


def logs_of_receipts(receipts: Any, header: Header, node: Node) -> list[Log]:
    """Return a block's logs from its receipts, having compared them with the bloom."""
    if receipts is None:
        raise BlockNotFound(f"no receipts of block {header.number}", node=node.name)
    logs: list[Log] = []
    for receipt in list_of_dicts(receipts, node):
        logs += list_of_dicts(receipt.get("logs"), node)
    if len(logs) > MAX_BLOOMED_LOGS:
        return logs
    try:
        bloom = bloom_of(logs)
    except (KeyError, TypeError, ValueError) as error:
        raise NodeUntrustworthy("malformed receipts", node=node.name, check="receipts") from error
    # More is allowed: some chains have receipts of their system's own that no bloom counts.
    if header.bloom & ~bloom:
        raise NodeUntrustworthy(
            f"the receipts of block {header.number} do not make its bloom", node=node.name, check="receipts_bloom"
        )
    return logs


def list_of_dicts(answer: Any, node: Node) -> list[Log]:
    if not isinstance(answer, list) or not all(isinstance(item, dict) for item in answer):
        raise NodeUntrustworthy("no list of receipts or logs", node=node.name, check="receipts")
    return answer


def compare(header: Header, there: Iterable[Log], logs: Iterable[Log], addresses: Sequence[str], node: Node) -> None:
    """Raise when two lists of a block's logs differ in which logs of ours they have."""
    try:
        wanted = {
            (int(log["logIndex"], 16), log["transactionHash"])
            for log in there
            if str(log.get("address")).lower() in addresses
        }
    except (KeyError, TypeError, ValueError) as error:
        raise NodeUntrustworthy("malformed receipts", node=node.name, check="receipts") from error
    given = {(log["logIndex"], log["transactionHash"]) for log in logs}
    if given != wanted:
        raise NodeUntrustworthy(
            f"{len(given)} logs of block {header.number}, but its receipts have {len(wanted)}",
            node=node.name,
            check="missing_logs" if given else "empty_logs",
        )


def digest_of(logs: list[Log], headers: Iterable[Header]) -> bytes:
    """Return a digest of what logs and their headers state."""
    digest = hashlib.sha256()
    for log in logs:
        digest.update(
            f"{log['blockHash']} {log['logIndex']} {log['transactionHash']} {log['address']} "
            f"{','.join(log['topics'])} {log['data']};".encode()
        )
    for header in headers:
        digest.update(f"{header};".encode())
    return digest.digest()
