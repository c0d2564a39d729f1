"""One JSON-RPC endpoint, and what its errors mean.

Raw JSON-RPC with orjson: for 100,000 logs web3's own client takes ten seconds where this takes one.
"""

import re
import threading
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests

from chain.exceptions import (
    BlockNotFound,
    CallRefused,
    NodeError,
    NodeRateLimited,
    NodeUnavailable,
    RangeCapped,
    Reverted,
    TooMuchData,
)

# A call may take this long; the rest get DEFAULT_TIMEOUT_SECONDS.
TIMEOUT_SECONDS = {"eth_getLogs": 60.0, "eth_chainId": 5.0, "eth_blockNumber": 5.0, "eth_getBlockByNumber": 10.0}
DEFAULT_TIMEOUT_SECONDS = 15.0
CONNECT_TIMEOUT_SECONDS = 3.0
# An answer beyond this is refused while it arrives: a broken endpoint must not fill the memory.
MAX_ANSWER_BYTES = 512 * 1024 * 1024

# Wordings of geth, erigon, nethermind, besu, reth, anvil and the hosted providers.
RATE_LIMIT = re.compile(r"rate.?limit|too many requests|exceeded.*(quota|capacity|throughput)|compute units", re.I)
CAPPED = re.compile(r"(?:range|limited|up to|maximum|max|exceeds?)\D{0,60}?(\d[\d,]{1,8})\s*(?:-?block|$|\b)", re.I)
CAPPED_HINT = re.compile(r"block range|range (?:is )?(?:too (?:large|wide)|limit)|max(?:imum)? .*blocks", re.I)
TOO_MUCH = re.compile(
    r"more than \d+ (?:results|logs)|response (?:size|too (?:large|big))|too many (?:results|logs)|query (?:timeout|"
    r"exceeds|returned more)|result(?:s)? (?:set )?too large|limit exceeded|log response size|exceeds max results",
    re.I,
)
NOT_FOUND = re.compile(r"(?:header|block|hash).{0,20}(?:not found|unknown|missing)|unknown block|BlockOutOfRange", re.I)
TRANSIENT = re.compile(r"timeout|timed out|temporar|try again|overload|unavailable|internal error|busy", re.I)


def classify(error: dict[str, Any], *, node: str, method: str) -> NodeError:
    """Turn a JSON-RPC error into the class that says what to do about it."""
    code = error.get("code") if isinstance(error.get("code"), int) else 0
    message = str(error.get("message", ""))[:500]
    text = f"{method}: {message} ({code})"
    if method == "eth_getLogs":
        capped = CAPPED.search(message) if CAPPED_HINT.search(message) else None
        if CAPPED_HINT.search(message):
            cap = int(capped.group(1).replace(",", "")) if capped else None
            return RangeCapped(text, node=node, cap=cap or None)
        if TOO_MUCH.search(message) or (code == -32005 and not RATE_LIMIT.search(message)):
            return TooMuchData(text, node=node)
    if code in (429, -32029, -32097) or RATE_LIMIT.search(message):
        return NodeRateLimited(text, node=node)
    if code == 3 or "revert" in message.lower():
        return Reverted(text, node=node, code=code or 3, data=error.get("data"))
    if NOT_FOUND.search(message) or code == -32001:
        return BlockNotFound(text, node=node)
    if code in (-32600, -32601, -32602, -32700):
        return CallRefused(text, node=node, code=code, data=error.get("data"))
    if code == -32603 or TRANSIENT.search(message):
        return NodeUnavailable(text, node=node)
    return CallRefused(text, node=node, code=code or 0, data=error.get("data"))


class Node:
    """A JSON-RPC endpoint over HTTP; safe to share between threads."""

    def __init__(self, url: str) -> None:
        self.url = url
        parts = urlsplit(url)
        # Providers put keys into paths and user infos: the name has neither.
        self.name = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self._local = threading.local()

    def __repr__(self) -> str:
        return f"Node({self.name})"

    @property
    def session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            session.headers["Content-Type"] = "application/json"
            # Compressing 100 MB of hexadecimal costs a local node more time than it saves on the wire.
            session.headers["Accept-Encoding"] = "identity"
        return session

    def call(self, method: str, *params: Any, timeout_seconds: float | None = None) -> Any:
        """Call one method and return its `result`."""
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = self._post(body, method, timeout_seconds)
        if not isinstance(answer, dict):
            raise NodeUnavailable(f"{method}: the answer is no JSON-RPC object", node=self.name)
        return self._result(answer, method)

    def batch(self, method: str, many_params: Sequence[Sequence[Any]], *, size: int = 200) -> list[Any]:
        """Call one method with each of many parameter lists, `size` calls a request, results in the same order."""
        results: list[Any] = []
        for start in range(0, len(many_params), size):
            chunk = many_params[start : start + size]
            if len(chunk) == 1:
                results.append(self.call(method, *chunk[0]))
                continue
            body = [{"jsonrpc": "2.0", "id": n, "method": method, "params": params} for n, params in enumerate(chunk)]
            answers = self._post(body, method, None)
            if isinstance(answers, dict):
                # One error object for the whole batch: some endpoints limit or refuse batches.
                self._result(answers, method)
                raise NodeUnavailable(f"{method}: one answer for a batch", node=self.name)
            by_id = {answer.get("id"): answer for answer in answers if isinstance(answer, dict)}
            if set(by_id) != set(range(len(chunk))):
                raise NodeUnavailable(f"{method}: the batch's answers are incomplete", node=self.name)
            results += [self._result(by_id[n], method) for n in range(len(chunk))]
        return results

    def _result(self, answer: dict[str, Any], method: str) -> Any:
        error = answer.get("error")
        if error:
            raise classify(error if isinstance(error, dict) else {"message": error}, node=self.name, method=method)
        if "result" not in answer:
            raise NodeUnavailable(f"{method}: neither result nor error", node=self.name)
        return answer["result"]

    def _post(self, body: Any, method: str, timeout_seconds: float | None) -> Any:
        timeout = timeout_seconds or TIMEOUT_SECONDS.get(method, DEFAULT_TIMEOUT_SECONDS)
        try:
            response = self.session.post(
                self.url,
                data=orjson.dumps(body),
                timeout=(min(CONNECT_TIMEOUT_SECONDS, timeout), timeout),
                stream=True,
                allow_redirects=False,
            )
            with response:
                content = self._read(response, method, time.monotonic() + timeout)
        except requests.RequestException as error:
            # A session whose connection broke is thrown away, pool and all.
            self._local.session = None
            raise NodeUnavailable(f"{method}: {type(error).__name__}", node=self.name) from error
        if response.status_code == 429:
            try:
                retry_after = float(response.headers.get("Retry-After", "1"))
            except ValueError:
                retry_after = 1.0
            raise NodeRateLimited(f"{method}: HTTP 429", node=self.name, retry_after_seconds=min(retry_after, 60))
        if response.status_code == 413:
            raise TooMuchData(f"{method}: HTTP 413", node=self.name)
        try:
            answer = orjson.loads(content)
        except orjson.JSONDecodeError as error:
            raise NodeUnavailable(f"{method}: HTTP {response.status_code} without JSON", node=self.name) from error
        if response.status_code >= 400 and not (isinstance(answer, dict) and answer.get("error")):
            raise NodeUnavailable(f"{method}: HTTP {response.status_code}", node=self.name)
        return answer

    def _read(self, response: requests.Response, method: str, deadline: float) -> bytes:
        length = response.headers.get("Content-Length", "")
        if length.isdigit() and int(length) > MAX_ANSWER_BYTES:
            self._local.session = None
            raise TooMuchData(f"{method}: an answer of {length} bytes", node=self.name)
        chunks, size = [], 0
        for chunk in response.iter_content(1 << 20):
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_ANSWER_BYTES:
                self._local.session = None
                raise TooMuchData(f"{method}: an answer of more than {MAX_ANSWER_BYTES} bytes", node=self.name)
            if time.monotonic() > deadline:
                self._local.session = None
                raise NodeUnavailable(f"{method}: the answer trickles", node=self.name)
        if length.isdigit() and size < int(length):
            self._local.session = None
            raise NodeUnavailable(f"{method}: the connection was cut", node=self.name)
        return b"".join(chunks)
