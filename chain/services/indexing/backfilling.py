"""Below finality: ranges of blocks; while one is written, the next is read."""

import contextlib
import gc
import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from chain.exceptions import RangeCapped, ReorgDetected, TooMuchData
from chain.reading import Head, RangeAnswer, Reader
from chain.services.indexing.index import Index

logger = logging.getLogger(__name__)


class Fetcher:
    """Reads ranges, the next one ahead of time in a thread of its own."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fetch")
        self._ahead: tuple[tuple[int, int], Future[RangeAnswer]] | None = None

    def fetch(self, addresses: list[str], low: int, high: int) -> RangeAnswer:
        """Read a range, or what was read ahead from the same block on; that may end earlier."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            (its_low, its_high), future = ahead
            if its_low == low and its_high <= high:
                return future.result()
            future.cancel()
        return self.reader.range_logs(addresses, low, high)

    def read_ahead(self, addresses: list[str], low: int, high: int) -> None:
        self._ahead = (low, high), self._thread.submit(self.reader.range_logs, addresses, low, high)

    def forget(self) -> None:
        """Drop what was read ahead: it is of another chain, or of another writer's time."""
        if self._ahead is not None:
            self._ahead[1].cancel()
            self._ahead = None

    def close(self) -> None:
        self.forget()
        self._thread.shutdown(wait=False, cancel_futures=True)


def backfill(*, index: Index, fetcher: Fetcher, head: Head) -> None:
    """Index one range up to the finalized block."""
    final = index.finalized_at(head)
    low = index.position.number + 1
    high = min(final, low + index.range_size.blocks - 1)
    try:
        answer = fetcher.fetch(index.addresses, low, high)
    except TooMuchData as error:
        shrink_range(index, error, low, high)
        return
    high = answer.to_block
    index.range_size.learn(high - low + 1, len(answer.logs))
    check_base(index, answer)
    following = high + 1, min(final, high + index.range_size.blocks)
    if following[0] <= following[1]:
        fetcher.read_ahead(index.addresses, *following)
    with collector_paused():
        decoded = index.decode(answer.logs, answer.headers)
        index.write(
            list(answer.headers.values()), end=answer.end, low=low, decoded=decoded, finality=index.finality_at(head)
        )


def shrink_range(index: Index, error: TooMuchData, low: int, high: int) -> None:
    """Ask for fewer blocks next time; raises where one block is too much already."""
    if low == high and not isinstance(error, RangeCapped):
        raise error
    index.range_size.shrink(error, high - low + 1)
    logger.info("range halved", extra={"blocks": index.range_size.blocks, "reason": str(error)})


def check_base(index: Index, answer: RangeAnswer) -> None:
    """Hold the range's first block against the block that we stand on."""
    if index.position.number < 0:
        return
    low = answer.from_block
    first = answer.headers.get(low) or (answer.end if answer.to_block == low else index.reader.header(low))
    if first.parent_hash != index.top_hash:
        raise ReorgDetected(low)


@contextlib.contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the cycle collector from walking the many objects of a range again and again: none is part of a cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
