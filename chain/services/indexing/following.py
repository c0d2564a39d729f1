"""Above finality: blocks one by one, their logs by hash."""

from typing import Any

from chain.exceptions import NodeUntrustworthy, ReorgDetected
from chain.reading import Head
from chain.selectors import is_transaction_stored
from chain.services.decoding import DecodedLogs
from chain.services.indexing.index import Index
from chain.services.indexing.ranges import FOLLOW_BLOCKS


def follow(*, index: Index, head: Head) -> None:
    """Index the next blocks up to the head, in one transaction."""
    reader, low = index.reader, index.position.number + 1
    high = min(head.header.number, low + FOLLOW_BLOCKS - 1)
    # A single new block is the head that we have just read.
    headers = (
        [head.header]
        if low == head.header.number and reader.nodes.quorum <= 1
        else reader.headers(range(low, high + 1))
    )
    if headers[0].parent_hash != index.top_hash and index.position.number >= 0:
        raise ReorgDetected(low)
    logs = [log for header in headers for log in reader.block_logs(index.addresses, header)]
    refuse_moved_transactions(index, logs)
    decoded = index.decode(logs, {header.number: header for header in headers})
    index.write(headers, end=headers[-1], low=low, decoded=decoded, finality=index.finality_at(head))


def refuse_moved_transactions(index: Index, logs: list[dict[str, Any]]) -> None:
    """Raise when a transaction stands in two blocks of one chain, these new ones or the window's."""
    blocks_of: dict[str, str] = {}
    for log in logs:
        if blocks_of.setdefault(log["transactionHash"], log["blockHash"]) != log["blockHash"]:
            raise NodeUntrustworthy("one transaction in two blocks", check="transaction_in_two_blocks")
    if blocks_of and is_transaction_stored(
        contracts=index.contracts,
        tx_hashes=[bytes.fromhex(tx_hash[2:]) for tx_hash in blocks_of],
        from_block=max(0, min(index.window)),
        to_block=index.position.number,
    ):
        raise NodeUntrustworthy("a transaction of an earlier block again", check="transaction_in_two_blocks")


def settle(*, index: Index, head: Head) -> None:
    """Move finality along when the head has not moved but what is final has."""
    finality = index.finality_at(head)
    if finality != index.finality and index.position.number >= 0:
        index.write([], end=head.header, low=index.position.number + 1, decoded=DecodedLogs(), finality=finality)
