"""Users of the load test: readers, pollers, WebSocket subscribers, GraphQL clients, makers of proofs.

Run by `loadtest.run`, which starts the stack and names it in the environment. Patches ssl on import, as Locust does.
"""

import json
import os
import random
import time
from typing import Any

import gevent
import redis
import websocket
from gevent.lock import Semaphore
from locust import FastHttpUser, User, between, constant, task

HTTP, SOCKETS = os.environ["LOAD_HTTP"], os.environ["LOAD_SOCKETS"]
IDS = json.loads(os.environ["LOAD_IDS"])
BEARER = {"Authorization": f"Bearer {os.environ['LOAD_TOKEN']}"}
store = redis.Redis.from_url(os.environ["LOAD_REDIS"])
committed: dict[int, float] = {}
asking = Semaphore()


def count(name: str) -> int:
    return int(os.environ.get(f"LOAD_{name}", "0"))


def commit_time(revision: int) -> float | None:
    """Ask once per process when a revision was committed."""
    if revision not in committed:
        with asking:
            if revision not in committed:
                found = store.get(f"load:committed:{revision}")
                committed[revision] = float(found) if found else 0.0
    return committed[revision] or None


class Reader(FastHttpUser):
    """Reads lists and single elections as a voter's app does."""

    host = HTTP
    wait_time = between(0.05, 0.2)
    fixed_count = count("READERS")

    def on_start(self) -> None:
        self.client.headers = {"Accept-Encoding": "gzip, br"} if hasattr(self.client, "headers") else None

    @task(4)
    def read_list(self) -> None:
        self.client.get("/elections", name="/elections")

    @task(1)
    def read_filtered(self) -> None:
        status = random.choice(["open", "pending", "closed"])
        self.client.get(f"/elections?status={status}&ordering=ends", name="/elections?status")

    @task(4)
    def read_one(self) -> None:
        self.client.get(f"/elections/{random.choice(IDS)}", name="/elections/{id}")

    @task(1)
    def read_pages(self) -> None:
        address = "/elections?limit=20"
        for _ in range(3):
            page = self.client.get(address, name="/elections page").json()
            address = page and page["next"]
            if not address:
                return


class Poller(FastHttpUser):
    """Asks every second whether something changed, with the ETag of what it has."""

    host = HTTP
    wait_time = between(0.5, 1.5)
    fixed_count = count("POLLERS")
    etag = ""

    @task
    def poll(self) -> None:
        headers = {"If-None-Match": self.etag} if self.etag else {}
        with self.client.get("/elections", headers=headers, name="/elections", catch_response=True) as response:
            if response.status_code in (200, 304):
                response.success()
                self.etag = response.headers.get("ETag", self.etag)
            else:
                response.failure(f"status {response.status_code}")


class GraphqlUser(FastHttpUser):
    """Asks for fifty elections in one query."""

    host = HTTP
    wait_time = between(0.5, 1.5)
    fixed_count = count("GRAPHQL")
    query = "{ elections(first: 50) { edges { node { id title status turnout tally { label votes } } } } }"

    @task
    def ask(self) -> None:
        with self.client.post("/graphql", json={"query": self.query}, name="/graphql", catch_response=True) as response:
            if response.status_code != 200 or "errors" in (response.json() or {}):
                response.failure(f"{response.status_code} {(response.text or '')[:200]}")


class Prover(FastHttpUser):
    """Has a proof of a quadratic ballot made, and waits for it."""

    host = HTTP
    wait_time = between(1, 3)
    fixed_count = count("PROVERS")

    @task
    def prove(self) -> None:
        ballot = {"election": "1", "budget": 100, "votes": [3, 4, *[0] * 8], "salt": str(random.getrandbits(200))}
        started = time.perf_counter()
        answer = self.client.post("/api/zk/voice", json=ballot, headers=BEARER, name="/api/zk/{circuit}")
        address = answer.headers.get("Location") if answer.status_code == 202 else None
        while address and time.perf_counter() - started < 60:
            gevent.sleep(0.25)
            state = self.client.get(address, headers=BEARER, name="/api/zk/{circuit}/{job}").json() or {}
            if state.get("status") in ("succeeded", "failed", "cancelled"):
                error = None if state["status"] == "succeeded" else Exception(f"proof {state['status']}")
                self.report("proof made", started, error)
                return
        if address:
            self.report("proof made", started, Exception("no proof within 60 s"))

    def report(self, name: str, started: float, error: Exception | None) -> None:
        fire(self, "ZK", name, (time.perf_counter() - started) * 1000, error)


def fire(user: User, kind: str, name: str, milliseconds: float, error: Exception | None = None) -> None:
    user.environment.events.request.fire(
        request_type=kind,
        name=name,
        response_time=milliseconds,
        response_length=0,
        exception=error,
        context={},
        start_time=time.time(),
        url=name,
    )


class Subscriber(User):
    """Listens to /ws/elections, comes back after a deploy, checks that it reads nothing stale."""

    host = SOCKETS
    wait_time = constant(0)
    fixed_count = count("SUBSCRIBERS")
    measures_lag = False

    def on_start(self) -> None:
        self.revision = 0
        self.seen: dict[str, int] = {}
        self.closed_at = self.away_since = 0.0

    @task
    def listen(self) -> None:
        """Hold one connection for as long as it lives."""
        since = f"?since={self.revision}" if self.revision else ""
        address = f"{SOCKETS.replace('http', 'ws')}/ws/elections{since}"
        begun = time.perf_counter()
        try:
            socket = websocket.create_connection(address, timeout=60, origin=SOCKETS)
        except (OSError, websocket.WebSocketException) as error:
            # While the server is away: tried again with jitter, and an error only when it stays away.
            self.away_since = self.away_since or time.perf_counter()
            if time.perf_counter() - self.away_since < 30:
                gevent.sleep(random.uniform(0.2, 1))
                return
            fire(self, "WS", "connect", (time.perf_counter() - begun) * 1000, error)
            gevent.sleep(1)
            return
        self.away_since = 0.0
        if not self.closed_at:
            fire(self, "WS", "connect", (time.perf_counter() - begun) * 1000)
        wait_seconds = 0.0
        try:
            while True:
                text = socket.recv()
                if not text:
                    break
                wait_seconds = self.handle(socket, json.loads(text)) or wait_seconds
        except websocket.WebSocketConnectionClosedException:
            pass
        except Exception as error:
            fire(self, "WS", "receive", 0, error)
        finally:
            socket.close()
        self.closed_at = time.perf_counter()
        gevent.sleep(wait_seconds or random.uniform(0.2, 1))

    def handle(self, socket: Any, message: dict[str, Any]) -> float | None:
        kind = message["type"]
        if self.closed_at and kind == "hello":
            fire(self, "WS", "reconnect", (time.perf_counter() - self.closed_at) * 1000)
            self.closed_at = 0.0
        if kind == "heartbeat":
            socket.send('{"type":"heartbeat"}')
        elif kind == "closing":
            return float(message["retry_after_seconds"])
        elif kind == "hello":
            self.revision = max(self.revision, message["revision"] if not self.revision else self.revision)
        elif kind == "election":
            self.hear(message)
        elif kind not in ("pong", "many_changed", "retraction"):
            fire(self, "WS", "message", 0, Exception(f"unexpected {message}"[:200]))
        return None

    def hear(self, message: dict[str, Any]) -> None:
        received_at, revision = time.time(), message["revision"]
        self.revision = max(self.revision, revision)
        if self.measures_lag and message["reasons"] != ["missed"]:
            at = commit_time(revision)
            if at is not None:
                fire(self, "WS", "lag", (received_at - at) * 1000)
        # A few read what they were just told of: the body must be at least as new.
        if random.random() < 0.01:
            gevent.spawn(self.check_fresh, message["id"], revision)

    def check_fresh(self, public_id: str, revision: int) -> None:
        import requests

        started = time.perf_counter()
        body = requests.get(f"{HTTP}/elections/{public_id}", timeout=30).json()
        stale = body["revision"] < revision
        error = Exception(f"stale body: {body['revision']} < {revision}") if stale else None
        fire(self, "GET", "fresh after push", (time.perf_counter() - started) * 1000, error)


class Listener(Subscriber):
    """A subscriber among the others whose lag is measured, in a process that has time to look at the clock."""

    fixed_count = count("LISTENERS")
    measures_lag = True
