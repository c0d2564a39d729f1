"""Several endpoints of one chain as one: health scores, failover, budgets, and agreement between them."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from chain import metrics
from chain.exceptions import (
    BlockNotFound,
    CallRefused,
    NodeError,
    NodeRateLimited,
    NodeUnavailable,
    NodeUntrustworthy,
    NoQuorum,
    TooMuchData,
    WrongChain,
)
from chain.nodes.node import Node

logger = logging.getLogger(__name__)
T = TypeVar("T")

# A failing endpoint rests 0.5 s, then twice as long each time, at most half a minute.
FIRST_REST_SECONDS = 0.5
LONGEST_REST_SECONDS = 30.0
# An endpoint this many blocks behind the best is asked only when no other answers.
STALE_BLOCKS = 5
# A failure costs an endpoint as much as this much latency.
FAILURE_PENALTY_SECONDS = 2.0


@dataclass
class Health:
    """What is known about one endpoint."""

    latency_seconds: float = 0.0
    failures: int = 0
    resting_until: float = 0.0
    head: int = 0
    is_other_chain: bool = False
    is_verified: bool = False
    # Next moment at which a method's budget allows a call.
    next_call: dict[str, float] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Nodes:
    """Ask whichever endpoint is well; each answer moves the endpoints' scores.

    `quorum` endpoints must agree on block hashes and logs (`agree`); with 1, the first answer counts.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        chain_id: int | None = None,
        quorum: int = 1,
        budgets: Mapping[str, float] | None = None,
    ) -> None:
        if quorum > len(urls):
            raise ValueError(f"a quorum of {quorum} needs as many endpoints, not {len(urls)}")
        self.nodes = [Node(url) for url in urls]
        self.health = {node: Health() for node in self.nodes}
        self.chain_id = chain_id
        self.quorum = quorum
        self.budgets = dict(budgets or {})

    # Choosing

    def score(self, node: Node) -> float:
        """Return a node's rank, lower is better; an endpoint's place in the settings breaks ties."""
        health = self.health[node]
        best = max(other.head for other in self.health.values())
        stale = 10.0 if health.head and health.head < best - STALE_BLOCKS else 0.0
        # Latency counts in steps of 50 ms, so that noise does not move the traffic to and fro.
        return round(health.latency_seconds / 0.05) * 0.05 + health.failures * FAILURE_PENALTY_SECONDS + stale

    def ordered(self) -> list[Node]:
        """Order the endpoints, resting ones last: they are asked rather than nobody."""
        now = time.monotonic()
        usable = [node for node in self.nodes if not self.health[node].is_other_chain]
        if not usable:
            raise WrongChain(f"every endpoint serves another chain than {self.chain_id}")
        return sorted(usable, key=lambda node: (self.health[node].resting_until > now, self.score(node)))

    # Asking

    def call(self, method: str, *params: Any, timeout_seconds: float | None = None) -> Any:
        """Call a method on the best endpoint, then on the others when it fails."""
        return self.ask(lambda node: node.call(method, *params, timeout_seconds=timeout_seconds), method=method)

    def batch(self, method: str, many_params: Sequence[Sequence[Any]]) -> list[Any]:
        """Call a method many times in as few requests as possible."""
        return self.ask(lambda node: node.batch(method, many_params), method=method)

    def ask(self, question: Callable[[Node], T], *, method: str, excluding: Sequence[Node] = ()) -> T:
        """Put a question to the endpoints in turn until one answers.

        Deterministic refusals and answers that are too big are raised at once: another endpoint would say the same,
        or the caller knows better what to do.
        """
        failure: NodeError | None = None
        for node in self.ordered():
            if node in excluding:
                continue
            try:
                return self.ask_one(node, question, method=method)
            except (CallRefused, TooMuchData):
                raise
            except NodeError as error:
                failure = error
        raise failure or NodeUnavailable(f"{method}: no endpoint left to ask")

    def ask_one(self, node: Node, question: Callable[[Node], T], *, method: str) -> T:
        """Put a question to one endpoint, within its budget, and keep what its answer says about its health."""
        self._verify(node)
        self._spend(node, method)
        health = self.health[node]
        started = time.monotonic()
        try:
            answer = question(node)
        except (CallRefused, TooMuchData, BlockNotFound):
            metrics.rpc_calls.labels(node.name, method, "refused").inc()
            raise
        except NodeError as error:
            self.punish(node, error)
            metrics.rpc_calls.labels(node.name, method, type(error).__name__).inc()
            raise
        elapsed = time.monotonic() - started
        with health.lock:
            # Big answers take long on the best endpoint: they say nothing about its health.
            if method != "eth_getLogs":
                health.latency_seconds += 0.2 * (elapsed - health.latency_seconds)
            health.failures = 0
            health.resting_until = 0.0
        metrics.rpc_calls.labels(node.name, method, "ok").inc()
        metrics.rpc_seconds.labels(node.name, method).observe(elapsed)
        return answer

    def punish(self, node: Node, error: NodeError) -> None:
        """Let an endpoint rest after a failure, longer each time."""
        health = self.health[node]
        with health.lock:
            health.failures = min(health.failures + 1, 10)
            rest = min(FIRST_REST_SECONDS * 2 ** (health.failures - 1), LONGEST_REST_SECONDS)
            if isinstance(error, NodeRateLimited):
                rest = max(rest, error.retry_after_seconds)
            health.resting_until = time.monotonic() + rest
        if isinstance(error, NodeUntrustworthy):
            metrics.distrust.labels(node.name, error.check).inc()
        logger.warning(
            "node failed",
            extra={"node": node.name, "reason": str(error), "kind": type(error).__name__, "rest_seconds": rest},
        )

    def note_head(self, node: Node, number: int) -> None:
        """Remember how far an endpoint's chain goes."""
        self.health[node].head = number
        metrics.node_head.labels(node.name).set(number)

    @property
    def is_resting(self) -> bool:
        """Tell whether every endpoint rests."""
        now = time.monotonic()
        return all(health.resting_until > now for health in self.health.values())

    def _verify(self, node: Node) -> None:
        health = self.health[node]
        if health.is_verified or self.chain_id is None:
            return
        try:
            found = int(node.call("eth_chainId"), 16)
        except NodeError as error:
            self.punish(node, error)
            raise
        except (TypeError, ValueError) as error:
            failure = NodeUnavailable("eth_chainId: no number", node=node.name)
            self.punish(node, failure)
            raise failure from error
        if found != self.chain_id:
            health.is_other_chain = True
            metrics.distrust.labels(node.name, "chain_id").inc()
            logger.error("node serves another chain", extra={"node": node.name, "found": found})
            raise WrongChain(
                f"{node.name} serves chain {found}, not {self.chain_id}: correct CHAIN_RPC_URLS or CHAIN_ID",
                node=node.name,
            )
        health.is_verified = True

    def forget_verification(self) -> None:
        """Ask each endpoint for its chain id again; those of another chain get another chance."""
        for health in self.health.values():
            health.is_verified = health.is_other_chain = False

    def _spend(self, node: Node, method: str) -> None:
        rate = self.budgets.get(method)
        if not rate:
            return
        health = self.health[node]
        with health.lock:
            now = time.monotonic()
            due = max(now, health.next_call.get(method, 0.0))
            health.next_call[method] = due + 1 / rate
        if due > now:
            time.sleep(due - now)

    # Agreement

    def agree(self, question: Callable[[Node], tuple[Any, T]], *, method: str, what: str) -> T:
        """Return the answer that `quorum` endpoints give; answers are compared by their digests.

        The question names its block by hash, so that honest endpoints cannot differ.
        """
        if self.quorum <= 1:
            return self.ask(lambda node: question(node)[1], method=method)
        votes: Counter[Any] = Counter()
        answers: dict[Any, T] = {}
        failure: NodeError | None = None
        for node in self.ordered():
            try:
                digest, answer = self.ask_one(node, question, method=method)
            except (CallRefused, TooMuchData):
                raise
            except NodeError as error:
                failure = error
                continue
            votes[digest] += 1
            answers.setdefault(digest, answer)
            if len(votes) > 1:
                metrics.disagreements.labels(what).inc()
                logger.error("endpoints disagree", extra={"what": what, "node": node.name})
            if votes[digest] >= self.quorum:
                return answers[digest]
        raise NoQuorum(f"{what}: no {self.quorum} endpoints agree ({len(votes)} answers)") from failure
