"""A proxy between the indexer and a node that lies and fails, by a seed."""

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import requests

FAULTS = (
    "rate_limit",
    "timeout",
    "cut",
    "garbage",
    "server_error",
    "empty_logs",
    "dropped_log",
    "stale_block",
    "head_regression",
    "duplicate_log",
    "removed",
    "other_block_hash",
    "other_header_hash",
    "moved_transaction",
    "finalized_above_head",
    "wrong_chain_id",
    "oversize",
    "capped",
    "null_block",
)


class FaultProxy:
    """Passes calls on to a node and spoils some of the answers; `is_honest` turns the faults off."""

    def __init__(self, target: str, *, seed: int = 0, rate: float = 0.3, faults: Iterable[str] = FAULTS) -> None:
        self.target = target
        self.random = random.Random(seed)
        self.rate = rate
        self.faults = [fault for fault in faults if fault != "dropped_log"]
        self.is_honest = False
        self.done: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.session = requests.Session()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Header and body leave as one packet: a delayed acknowledgement would cost 40 ms a call.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                proxy.handle(self)

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def choose(self, method: str, params: list[Any]) -> str:
        """Draw a fault that fits the call, or none."""
        with self.lock:
            self.calls[method] += 1
            if self.is_honest or self.random.random() >= self.rate:
                return ""
            fault = self.random.choice(self.faults)
        logs = {
            "empty_logs",
            "duplicate_log",
            "removed",
            "other_block_hash",
            "moved_transaction",
            "oversize",
            "capped",
        }
        if fault in logs and method != "eth_getLogs":
            return ""
        is_latest = method == "eth_getBlockByNumber" and params[:1] == ["latest"]
        if fault in ("stale_block", "head_regression") and not is_latest:
            return ""
        if fault == "finalized_above_head" and params[:1] != ["finalized"]:
            return ""
        if fault in ("null_block", "other_header_hash") and method != "eth_getBlockByNumber":
            return ""
        if fault == "wrong_chain_id" and method != "eth_chainId":
            return ""
        return fault

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        call = json.loads(body)
        one = call[0] if isinstance(call, list) else call
        fault = self.choose(one["method"], one.get("params", []))
        if fault:
            with self.lock:
                self.done[fault] += 1
        if fault == "rate_limit":
            self.answer(handler, b"slow down", status=429, extra={"Retry-After": "0"})
        elif fault == "timeout":
            time.sleep(0.5)
            self.answer(handler, b"")
        elif fault == "cut":
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
            handler.wfile.write(b'{"jsonrpc"')
            handler.close_connection = True
        elif fault == "garbage":
            self.answer(handler, b"<html>502</html>")
        elif fault == "server_error":
            self.answer(
                handler, b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"internal error"}}', status=500
            )
        else:
            self.pass_on(handler, call, body, fault)

    def pass_on(self, handler: BaseHTTPRequestHandler, call: Any, body: bytes, fault: str) -> None:
        if fault in ("oversize", "capped"):
            low, high = self.range_of(call)
            if fault == "oversize" and high > low:
                message = "query returned more than 10000 results"
                self.error(handler, call, -32005, message)
                return
            if fault == "capped" and high - low >= 5:
                self.error(handler, call, -32602, "block range is too large, limited to 5 blocks")
                return
        answer = requests.post(self.target, data=body, headers={"Content-Type": "application/json"}, timeout=30).json()
        for part in answer if isinstance(answer, list) else [answer]:
            if "result" in part:
                part["result"] = self.spoil(part["result"], fault)
        self.answer(handler, json.dumps(answer).encode())

    def range_of(self, call: Any) -> tuple[int, int]:
        query = call["params"][0]
        if "blockHash" in query:
            return 0, 0
        return int(query["fromBlock"], 16), int(query["toBlock"], 16)

    def spoil(self, result: Any, fault: str) -> Any:
        """Change an answer as the fault says."""
        if not fault or result is None:
            return result
        if fault == "empty_logs":
            return []
        if fault == "null_block":
            return None
        if fault == "wrong_chain_id":
            return "0x1"
        if fault in ("stale_block", "head_regression"):
            number = max(0, int(result["number"], 16) - self.random.randint(1, 4))
            body = {"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockByNumber", "params": [hex(number), False]}
            return requests.post(self.target, json=body, timeout=30).json()["result"]
        if fault == "finalized_above_head":
            return result | {"number": hex(int(result["number"], 16) + 1_000_000)}
        if fault == "other_header_hash" and isinstance(result, dict):
            return result | {"hash": "0x" + "ef" * 32}
        if isinstance(result, list) and result and isinstance(result[0], dict):
            place = self.random.randrange(len(result))
            log = result[place]
            if fault == "duplicate_log":
                return [*result, log]
            if fault == "removed":
                return [*result[:place], log | {"removed": True}, *result[place + 1 :]]
            if fault == "other_block_hash":
                return [*result[:place], log | {"blockHash": "0x" + "cd" * 32}, *result[place + 1 :]]
            if fault == "moved_transaction":
                moved = log | {"blockNumber": hex(int(log["blockNumber"], 16) + 1), "logIndex": "0x63"}
                return [*result, moved]
        return result

    def error(self, handler: BaseHTTPRequestHandler, call: Any, code: int, message: str) -> None:
        body = {"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}
        self.answer(handler, json.dumps(body).encode())

    def answer(
        self, handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, extra: dict[str, str] | None = None
    ) -> None:
        try:
            handler.send_response(status)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(body)))
            for name, value in (extra or {}).items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):
            handler.close_connection = True


@contextmanager
def fault_proxy(target: str, **options: Any) -> Iterator[FaultProxy]:
    proxy = FaultProxy(target, **options)
    try:
        yield proxy
    finally:
        proxy.stop()
