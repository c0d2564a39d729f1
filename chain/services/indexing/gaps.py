"""Gaps behind the checkpoint: blocks that a contract added later, or a changed setting, has not seen indexed."""

from collections.abc import Iterable

from chain.exceptions import ReorgDetected, TooMuchData
from chain.models import Contract
from chain.reading import Head, Header
from chain.services.coverage import missing
from chain.services.indexing.backfilling import shrink_range
from chain.services.indexing.index import Index
from chain.services.indexing.ranges import FOLLOW_BLOCKS
from chain.services.writing import write_behind


def fill_gap(*, index: Index, head: Head) -> bool:
    """Index one range that some contract misses behind the checkpoint; return whether there was one."""
    if not index.has_gaps:
        return False
    for contract in index.contracts:
        for low, high in missing(contract, up_to=index.position.number):
            fill(index, contract, low, high, head)
            return True
    index.has_gaps = False
    return False


def fill(index: Index, contract: Contract, low: int, high: int, head: Head) -> None:
    final = index.finalized_at(head)
    if low <= final:
        high = min(high, final, low + index.range_size.blocks - 1)
        try:
            answer = index.reader.range_logs([contract.address], low, high)
        except TooMuchData as error:
            shrink_range(index, error, low, high)
            return
        logs, headers = answer.logs, answer.headers
        hold_against_window(index, headers.values())
    else:
        high = min(high, low + FOLLOW_BLOCKS - 1)
        read = index.reader.headers(range(low, high + 1))
        hold_against_window(index, read)
        logs = [log for header in read for log in index.reader.block_logs([contract.address], header)]
        headers = {header.number: header for header in read}
    decoded = index.decode(logs, headers)
    with_logs = {log["blockNumber"] for log in logs}
    index.position, changes = write_behind(
        chain_id=index.chain_id,
        writer=index.writer,
        position=index.position,
        finality=index.finality,
        contract=contract,
        headers=[header for number, header in headers.items() if number in with_logs],
        low=low,
        high=high,
        decoded=decoded,
    )
    index.events_written += len(decoded.rows)
    index.tell(changes)


def hold_against_window(index: Index, headers: Iterable[Header]) -> None:
    """Raise when a block is not the one that is stored at its height."""
    for header in headers:
        known = index.window.get(header.number)
        if known and known[0] != header.hash:
            raise ReorgDetected(header.number)
