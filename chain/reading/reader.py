"""Questions to the endpoints of one chain; every answer is held against the others before it is believed."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from chain.exceptions import BlockNotFound, CallRefused, NodeError, NodeUntrustworthy, NoQuorum
from chain.nodes import Node, Nodes
from chain.reading.blooms import MAX_EXPLAINED_LOGS, bloom_of, is_explained, may_hold
from chain.reading.headers import Head, Header, parse_header, parse_headers
from chain.reading.logs import Log, check_complete, checked_logs, digest_of

T = TypeVar("T")
# So many answers without a `finalized` block in a row mean that the chain has no such tag: depth stands in for it.
UNTAGGED_BELIEVED = 5


@dataclass(frozen=True, slots=True)
class RangeAnswer:
    """All logs of the contracts in `from_block` to `to_block`, and the headers that vouch for them."""

    from_block: int
    to_block: int
    end: Header
    # Headers of blocks with logs, by number.
    headers: dict[int, Header]
    logs: list[Log]


class Reader:
    """Reads one chain through its endpoints.

    With `checks_all_headers`, every header's parent and bloom is checked, and where a bloom does not rule out that
    logs are missing, the block's receipts are read. Without, blooms are not relied on at all.
    """

    def __init__(self, nodes: Nodes, *, finality_depth: int = 64, checks_all_headers: bool = True) -> None:
        self.nodes = nodes
        self.finality_depth = finality_depth
        self.checks_all_headers = checks_all_headers
        # Answers in a row without a `finalized` block, by endpoint.
        self.untagged: defaultdict[str, int] = defaultdict(int)

    def _agree(self, ask: Callable[[Node], T], digest: Callable[[T], Any], *, method: str, what: str) -> T:
        """Ask one endpoint, or as many as the quorum wants to say the same."""
        if self.nodes.quorum <= 1:
            return self.nodes.ask(ask, method=method)

        def question(node: Node) -> tuple[Any, T]:
            answer = ask(node)
            return digest(answer), answer

        return self.nodes.agree(question, method=method, what=what)

    # Heads and headers

    def head(self) -> Head:
        """Read the newest block and the finality tags from one endpoint.

        With a quorum, from all: as high, and as final, as so many endpoints say at least.
        """
        quorum = self.nodes.quorum
        if quorum <= 1:
            return self.nodes.ask(self._head_of, method="eth_getBlockByNumber")
        heads: list[Head] = []
        failure: NodeError | None = None
        for node in self.nodes.ordered():
            try:
                heads.append(self.nodes.ask_one(node, self._head_of, method="eth_getBlockByNumber"))
            except NodeError as error:
                failure = error
        if len(heads) < quorum:
            raise NoQuorum(f"head: {len(heads)} of {quorum} endpoints answer") from failure
        header = sorted((head.header for head in heads), key=lambda header: -header.number)[quorum - 1]
        finalized = sorted((head.finalized for head in heads), reverse=True)[quorum - 1]
        safe = sorted((head.safe for head in heads), reverse=True)[quorum - 1]
        return Head(header, min(safe, header.number), min(finalized, header.number))

    def _head_of(self, node: Node) -> Head:
        latest = parse_header(node.call("eth_getBlockByNumber", "latest", False), node=node.name)
        self.nodes.note_head(node, latest.number)
        safe, finalized = (self._tag(node, tag) for tag in ("safe", "finalized"))
        if finalized is not None:
            self.untagged[node.name] = 0
            safe = finalized if safe is None else safe
        else:
            # Nothing is final yet, one answer was wrong, or the chain has no such tags: only time tells.
            self.untagged[node.name] += 1
            is_untagged = self.untagged[node.name] >= UNTAGGED_BELIEVED
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
            raw = node.call("eth_getBlockByNumber", hex(number), False)
            return parse_header(raw, node=node.name, number=number)

        return self._agree(ask, lambda header: header, method="eth_getBlockByNumber", what="block")

    def header_by_hash(self, block_hash: str) -> Header:
        """Read a header by its hash."""

        def ask(node: Node) -> Header:
            header = parse_header(node.call("eth_getBlockByHash", block_hash, False), node=node.name)
            if header.hash != block_hash:
                raise NodeUntrustworthy("another block than asked for", node=node.name, check="block_hash")
            return header

        return self.nodes.ask(ask, method="eth_getBlockByHash")

    def headers(self, numbers: Sequence[int]) -> list[Header]:
        """Read many canonical headers, all from one endpoint; neighbours must be linked."""
        return self._agree(
            lambda node: self._headers_of(node, numbers), tuple, method="eth_getBlockByNumber", what="block"
        )

    def _headers_of(self, node: Node, numbers: Sequence[int]) -> list[Header]:
        raws = node.batch("eth_getBlockByNumber", [(hex(number), False) for number in numbers])
        return parse_headers(raws, numbers, node=node.name)

    # Logs

    def range_logs(self, addresses: Sequence[str], from_block: int, to_block: int) -> RangeAnswer:
        """Read the logs of a range at or below the finalized block, and check them against headers.

        Raises TooMuchData when the range must be smaller.
        """
        # The end is pinned first: every endpoint that answers must stand on the same chain.
        end = self.header(to_block)

        def ask(node: Node) -> RangeAnswer:
            query = {"fromBlock": hex(from_block), "toBlock": hex(to_block), "address": list(addresses)}
            logs = checked_logs(
                node.call("eth_getLogs", query), addresses=addresses, low=from_block, high=to_block, node=node.name
            )
            headers = self._vouch(node, logs, addresses, from_block, end)
            return RangeAnswer(from_block, to_block, end, headers, logs)

        return self._agree(
            ask, lambda answer: digest_of(answer.logs, answer.headers.values()), method="eth_getLogs", what="logs"
        )

    def _vouch(
        self, node: Node, logs: list[Log], addresses: Sequence[str], from_block: int, end: Header
    ) -> dict[int, Header]:
        """Return the headers of the blocks with logs, having compared hashes, links and blooms."""
        by_block: defaultdict[int, list[Log]] = defaultdict(list)
        for log in logs:
            by_block[log["blockNumber"]].append(log)
        numbers = range(from_block, end.number + 1) if self.checks_all_headers else sorted(by_block)
        headers = {header.number: header for header in self._headers_of(node, numbers)}
        if headers.get(end.number, end).hash != end.hash:
            raise NodeUntrustworthy(
                "the range does not end in the pinned block", node=node.name, check="block_hash_mismatch"
            )
        for number, its_logs in by_block.items():
            check_block_hash(headers[number], its_logs, node)
        if self.checks_all_headers:
            # A truncated answer ends within a block: the last one is read again however many logs it has.
            last = max(by_block, default=-1)
            suspicious = [
                header
                for header in headers.values()
                if self._is_suspicious(header, by_block.get(header.number, []), addresses, node)
                and (len(by_block.get(header.number, [])) <= MAX_EXPLAINED_LOGS or header.number == last)
            ]
            check_complete(node, suspicious, by_block, addresses)
        return {number: headers[number] for number in by_block}

    def _is_suspicious(self, header: Header, logs: list[Log], addresses: Sequence[str], node: Node) -> bool:
        """Tell whether logs of ours may be missing from a block; raise when its bloom rules out those given."""
        if len(logs) <= MAX_EXPLAINED_LOGS and bloom_of(logs) & ~header.bloom:
            raise NodeUntrustworthy(
                f"the bloom of block {header.number} rules out its logs", node=node.name, check="logs_bloom"
            )
        return may_hold(header, addresses) and not is_explained(header, logs)

    def block_logs(self, addresses: Sequence[str], header: Header) -> list[Log]:
        """Read the logs of one unfinalized block by its hash."""
        if self.checks_all_headers and not may_hold(header, addresses):
            return []

        def ask(node: Node) -> list[Log]:
            query = {"blockHash": header.hash, "address": list(addresses)}
            logs = checked_logs(
                node.call("eth_getLogs", query),
                addresses=addresses,
                low=header.number,
                high=header.number,
                node=node.name,
            )
            check_block_hash(header, logs, node)
            if self.checks_all_headers and self._is_suspicious(header, logs, addresses, node):
                check_complete(node, [header], {header.number: logs}, addresses)
            return logs

        return self._agree(ask, lambda logs: digest_of(logs, []), method="eth_getLogs", what="logs")

    def state_at(self, address: str, data: str, header_hash: str, number: int) -> str:
        """Call a view at a block: by hash, by number where the node does not take hashes, and at last at the head."""
        call = {"to": address, "data": data}
        failure: NodeError | None = None
        for block in ({"blockHash": header_hash}, hex(number), "latest"):

            def ask(node: Node, block: Any = block) -> str:
                return str(node.call("eth_call", call, block))

            try:
                return self._agree(ask, str, method="eth_call", what="state")
            except (CallRefused, BlockNotFound) as error:
                # Pruned state: what profiles read this way never changes after the event.
                failure = error
        assert failure is not None
        raise failure


def check_block_hash(header: Header, logs: list[Log], node: Node) -> None:
    """Raise when one of a block's logs names another block's hash."""
    for log in logs:
        if log["blockHash"] != header.hash:
            raise NodeUntrustworthy(
                f"a log of block {header.number} names another block hash", node=node.name, check="block_hash_mismatch"
            )
