"""Starts what a measurement runs against: PostgreSQL, Redis, elections in any number, HTTP and WebSocket servers."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import requests

from deploy.local import services
from deploy.local.services import ROOT, free_port, launch, wait_until

CONTRACT = "0x5fbdb2315678afecb367f032d93f642f64180aa3"
CHAIN_ID = 31337
BIN = Path(sys.executable).parent
# The limiter and the day's quota of proofs work in full, with limits that no measurement reaches.
NO_LIMIT = {"RATE_LIMIT": "100000000/60", "ZK_PROOFS_PER_DAY": "1000000"}

SERVERS: dict[str, list[str]] = {
    "granian wsgi": [
        *["granian", "--interface", "wsgi", "config.wsgi:application", "--workers", "2", "--no-ws"],
        *["--blocking-threads", "4", "--http1-header-read-timeout", "10000", "--http1-buffer-size", "65536"],
        # With answers that nobody reads it does not stop by itself.
        *["--workers-kill-timeout", "3"],
    ],
    "granian asgi": ["granian", "--interface", "asgi", "config.asgi:application", "--workers", "2"],
    # uvicorn as it is deployed. One process holds all sockets of a machine this small; its HTTP is not used.
    "sockets": [sys.executable, "manage.py", "serve_sockets"],
    # uvloop sets TCP_NODELAY on what several workers share; asyncio does not, and each answer took 44 ms.
    "uvicorn asgi": [
        *["uvicorn", "config.asgi:application", "--workers", "2", "--log-level", "warning"],
        *["--loop", "uvloop", "--http", "httptools"],
    ],
    "daphne": ["daphne", "config.asgi:application", "--verbosity", "0"],
}


@dataclass
class Server:
    address: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> float:
        """End the server and return how long it took to stop."""
        started = time.monotonic()
        services.Service("server", self.address, self.process).stop(5)
        return time.monotonic() - started

    def pids(self) -> list[int]:
        """The server's process and its workers."""
        found = [self.process.pid]
        for pid in found:
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(child) for child in children.read_text().split()]
        return found

    def cpu_seconds(self) -> float:
        """CPU time that the server and its workers have used; on a busy machine it says more than the clock does."""
        return sum(cpu_seconds_of(pid) for pid in self.pids())

    def resident_megabytes(self) -> float:
        """Memory of the server and its workers that no other process shares."""
        total = 0
        for pid in self.pids():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Private"))
        return total / 1024


def cpu_seconds_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Stack:
    """A folder with PostgreSQL and Redis, and the servers started over them."""

    folder: Path
    environment: dict[str, str]
    postgres: services.Postgres
    redis: services.Service
    servers: list[Server] = field(default_factory=list)

    def __enter__(self) -> "Stack":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self.servers:
            server.stop()
        self.redis.stop()
        self.postgres.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def redis_pid(self) -> int:
        return self.redis.process.pid if self.redis.process else 0

    def flush_redis(self) -> None:
        import redis

        redis.Redis.from_url(self.redis.url).flushall()

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, "-W", "ignore", "manage.py", *arguments]
        done = subprocess.run(command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{arguments[0]} failed:\n{done.stderr[-2000:]}")
        return done.stdout

    def serve(self, kind: str, *options: str, application: str = "", **variables: str) -> Server:
        """Start a server; `kind` is one of SERVERS, `application` replaces Psephos's own."""
        port = int(options[options.index("--port") + 1]) if "--port" in options else free_port()
        command = [str(BIN / SERVERS[kind][0]), *SERVERS[kind][1:], "--port", str(port)]
        command += [part for part in options if part not in ("--port", str(port))]
        if application:
            command = [application if part.startswith("config.") else part for part in command]
            variables = {"PYTHONPATH": str(ROOT)} | variables
        if command[0].endswith("granian"):
            command += ["--host", "127.0.0.1", "--log-level", "warning"]
        log = self.folder / f"server-{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=ROOT,
                env=self.environment | variables,
                start_new_session=True,
            )
        server = Server(f"http://127.0.0.1:{port}", process, log)
        self.servers.append(server)
        wait_until(
            kind, lambda: requests.get(f"{server.address}/healthz", timeout=2).status_code < 500, process, log, 60
        )
        return server


def start_stack(**variables: str) -> Stack:
    """Start PostgreSQL and Redis in a temporary folder and migrate."""
    folder = Path(tempfile.mkdtemp(prefix="psephos-load-"))
    folder.chmod(0o755)
    postgres = services.start_postgres(folder / "postgres", is_durable=False)
    postgres.create_database("psephos")
    redis = services.start_redis(folder / "redis")
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
        "DATABASE_URL": postgres.url("psephos"),
        "REDIS_URL": redis.url,
        "LOG_LEVEL": "WARNING",
        "STATIC_ROOT": str(folder / "static"),
        "PYTHONWARNINGS": "ignore",
        # As in production: the workers count into files that they share.
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
    }
    (folder / "metrics").mkdir()
    stack = Stack(folder, environment | NO_LIMIT | variables, postgres, redis)
    stack.manage("migrate", "--verbosity", "0")
    stack.manage("collectstatic", "--noinput", "--verbosity", "0")
    return stack


def seed_elections(stack: Stack, count: int) -> None:
    """Write elections straight into the tables: `count` of them, finalized, in every status."""
    import psycopg

    document = '{"title": "Which proposal gets the money?", "description": "' + "Lorem ipsum. " * 20 + '", '
    document += '"options": ["A playground", "Trees", "Night buses"]}'
    import json

    import rfc8785

    key = hashlib.sha256(rfc8785.dumps(json.loads(document))).digest()
    with psycopg.connect(stack.postgres.url("psephos"), autocommit=True) as connection:
        connection.execute("TRUNCATE elections_election CASCADE")
        connection.execute(
            "INSERT INTO elections_metadata (hash, document, created_at) VALUES (%s, %s, now()) ON CONFLICT DO NOTHING",
            (key, document),
        )
        connection.execute(
            """INSERT INTO elections_chainhead
               (chain_id, number, hash, timestamp, safe_block, finalized_block, block_seconds)
               VALUES (%s, 1000000, %s, extract(epoch FROM now())::bigint, 1000000, 1000000, 2)
               ON CONFLICT DO NOTHING""",
            (CHAIN_ID, b"\x01" * 32),
        )
        fact = """jsonb_build_object('block_number', n, 'block_hash', '0x' || repeat('ab', 32), 'block_timestamp',
                  1790000000 + n * 2, 'tx_hash', '0x' || repeat('cd', 32), 'log_index', 0)"""
        columns = """public_id, chain_id, contract, election_id, metadata_hash, start_block, end_block, options,
                     census_root, verifier, status, finality, votes, totals, turnout, is_cancelled, facts,
                     created_block, last_fact_block, starts_at, ends_at, is_withdrawn, revision, first_seen_at,
                     updated_at"""
        connection.execute(
            f"""INSERT INTO elections_election ({columns})
                SELECT %(chain)s || '-5fbdb231-' || n, %(chain)s, %(contract)s, n, %(key)s,
                       CASE WHEN n %% 4 = 0 THEN 2000000 + n ELSE n + 1 END,
                       CASE WHEN n %% 4 = 1 THEN 900000 + n / 10 ELSE 3000000 + n END, 3, NULL, NULL,
                       CASE n %% 4 WHEN 0 THEN 'pending' WHEN 1 THEN 'closed' ELSE 'open' END, 'finalized',
                       ARRAY[n %% 997, n %% 313, n %% 89], NULL, n %% 997 + n %% 313 + n %% 89, false,
                       jsonb_build_object('created', {fact}, 'last_vote', {fact}), n, n,
                       now(), now() + interval '1 day', false, n, now(), now()
                FROM generate_series(1, %(count)s) AS n""",
            {"chain": CHAIN_ID, "contract": CONTRACT, "key": key, "count": count},
        )
        connection.execute("ANALYZE elections_election")
        connection.execute("SELECT setval('elections_revision', %s)", (count + 1,))


def public_id(number: int) -> str:
    return f"{CHAIN_ID}-{CONTRACT[2:10]}-{number}"


@contextmanager
def measured_stack(count: int, **variables: str) -> Iterator[Stack]:
    """A stack with `count` elections, taken down at the end."""
    stack = start_stack(**variables)
    with stack:
        seed_elections(stack, count)
        yield stack


def machine() -> Mapping[str, Any]:
    """The size of the machine, for reports."""
    memory = Path("/proc/meminfo").read_text().split(maxsplit=2)[1] if Path("/proc/meminfo").exists() else "0"
    return {"cpus": os.cpu_count(), "memory_gb": round(int(memory) / 1024**2)}


__all__ = ["launch", "measured_stack", "public_id", "seed_elections", "start_stack"]
