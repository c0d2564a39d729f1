"""`make run`: the whole stack in the foreground on one machine, without Docker or root."""

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import requests

from deploy.local import oidc, services, supervisor
from deploy.local.ports import PortRefused, check_ports, wanted_ports
from deploy.local.services import ROOT, ServiceFailed
from deploy.local.supervisor import MARK, PART, SERVICE, Part, Supervisor

# All state of a run; tests choose a folder of their own.
LOCAL = Path(os.environ.get("LOCAL_FOLDER") or ROOT / ".local").resolve()
STATE = LOCAL / "run"
BIN = Path(sys.executable).parent
BLOCK_SECONDS = 2
# Parts that are asked to end get so long before they are killed; the services under them end after that.
PARTS_STOP_SECONDS, SERVICES_STOP_SECONDS = 3.0, 1.0


class CannotStart(Exception):
    """The stack cannot start; the message says why and what to do."""


def say(text: str = "") -> None:
    print(text, flush=True)


def shown(path: Path) -> str:
    """Write a path as people here type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def step(name: str, started: float, note: str = "") -> None:
    say(f"  ✓ {name:<22} {note:<38} {time.monotonic() - started:5.1f} s".rstrip())


@contextlib.contextmanager
def exclusive() -> Iterator[bool]:
    """Hold this folder's lock; the kernel frees it whatever ends us. Yields whether we got it."""
    LOCAL.mkdir(parents=True, exist_ok=True)
    with (LOCAL / "run.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def stop_postgres() -> None:
    """Stop the PostgreSQL of a killed run, if one still lives over our data."""
    if (STATE / "postgres" / "postmaster.pid").exists():
        with contextlib.suppress(ServiceFailed, OSError, subprocess.SubprocessError):
            services.start_postgres(STATE / "postgres").stop()


def secret_key() -> str:
    file = STATE / "secret_key"
    if not file.exists():
        file.write_text(f"insecure-{secrets.token_urlsafe(50)}")
        file.chmod(0o600)
    return file.read_text()


def fingerprint() -> str:
    """Digest what `prepare` depends on, so that a start with nothing new leaves it out."""
    digest = hashlib.sha256()
    patterns = ("*/migrations/*.py", "audit/services/grants.py", "chain/contracts/artifacts/*", "requirements/*.txt")
    for file in sorted({file for pattern in patterns for file in ROOT.glob(pattern) if file.is_file()}):
        stat = file.stat()
        digest.update(f"{file}:{stat.st_size}:{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


class Stack:
    """The services, the parts over them, and what people are told about both."""

    def __init__(self, *, wanted_ports: dict[str, int], is_demo: bool) -> None:
        self.ports = wanted_ports
        self.is_demo = is_demo
        self.supervisor = Supervisor(state=STATE, root=ROOT, say=say)
        self.stoppers: list[Callable[[], None]] = []
        self.environment: dict[str, str] = {}
        # What the sequencer's process has in the place of the others'.
        self.sequencer_environment: dict[str, str] = {}
        self.admin: dict[str, str] | None = None
        self.is_stopping = threading.Event()

    @property
    def url(self) -> str:
        return f"http://localhost:{self.ports['web']}"

    def start_services(self) -> None:
        """Start PostgreSQL, Redis, the EVM node and the sign-in provider side by side."""
        os.environ[MARK] = f"{STATE}:{SERVICE}"
        with ThreadPoolExecutor() as pool:
            waiting = [
                pool.submit(start)
                for start in (self.start_postgres, self.start_redis, self.start_node, self.start_oidc)
            ]
        for future in waiting:
            future.result()

    def start_postgres(self) -> None:
        started = time.monotonic()
        postgres = services.start_postgres(STATE / "postgres")
        self.stoppers.append(postgres.stop)
        # Asked at each start: a folder of an earlier version lacks the roles that came since.
        postgres.create_database("psephos")
        self.environment["DATABASE_URL"] = postgres.url("psephos", role="psephos_app")
        self.environment["MIGRATION_DATABASE_URL"] = postgres.url("psephos", role="psephos_owner")
        self.sequencer_environment["DATABASE_URL"] = postgres.url("psephos", role="psephos_sequencer")
        step("PostgreSQL", started, "roles psephos_owner, _app, _sequencer")

    def start_redis(self) -> None:
        started = time.monotonic()
        redis = services.start_redis(STATE / "redis", options=["--appendonly", "yes", "--save", ""])
        self.stoppers.append(lambda: redis.stop(SERVICES_STOP_SECONDS))
        self.environment["REDIS_URL"] = redis.url
        step("Redis", started, redis.url)

    def start_node(self) -> None:
        started = time.monotonic()
        state = ["--state", str(STATE / "anvil" / "state.json"), "--state-interval", "10"]
        options = [*state, "--block-time", str(BLOCK_SECONDS)]
        (STATE / "anvil").mkdir(exist_ok=True)
        node = services.start_anvil(STATE / "anvil", port=self.ports["EVM node"], options=options)
        self.stoppers.append(lambda: node.stop(SERVICES_STOP_SECONDS))
        self.environment |= {
            "CHAIN_RPC_URLS": node.url,
            "CHAIN_WS_URL": node.url.replace("http", "ws", 1),
            "CHAIN_ID": "31337",
            "CHAIN_DEPLOYMENT_FILE": str(STATE / "contracts.json"),
        }
        step("EVM node (anvil)", started, f"{node.url}, chain 31337")

    def start_oidc(self) -> None:
        started = time.monotonic()
        provider = oidc.start_oidc_provider(
            STATE / "oidc",
            port=self.ports["sign-in provider"],
            redirect_uris=[f"{self.url}/auth/callback"],
            post_logout_redirect_uris=[f"{self.url}/"],
            backchannel_logout_uri=f"{self.url}/auth/backchannel-logout",
        )
        self.stoppers.append(provider.stop)
        self.environment["OIDC_PROVIDERS"] = provider.environment
        step("Sign-in provider", started, provider.url)

    def configure(self) -> None:
        shutil.rmtree(STATE / "metrics", ignore_errors=True)
        self.environment |= {
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
            "SECRET_KEY": secret_key(),
            "PUBLIC_URL": self.url,
            "LOG_FORMAT": "console",
            "PROMETHEUS_MULTIPROC_DIR": str(STATE / "metrics"),
            "PYTHONUNBUFFERED": "1",
        }

    def share_environment(self) -> None:
        """Write down this run's settings, by which `manage.py` in this folder finds it (config.settings.env)."""
        file = STATE / "environment.json"
        file.touch(mode=0o600)
        file.write_text(json.dumps(self.environment, indent=1))

    def prepare(self) -> None:
        """Migrate, deploy the contracts, make the administrator: only when something is new."""
        # The provider's address belongs to who its people are: on another port they are linked anew.
        stamp, now = STATE / "prepared", f"{fingerprint()} {self.ports['sign-in provider']}"
        if stamp.exists() and stamp.read_text() == now and self.has_contracts():
            return
        started = time.monotonic()
        log, output = self.supervisor.log("prepare"), STATE / "prepared.json"
        log.unlink(missing_ok=True)
        process = services.launch(
            "prepare",
            [sys.executable, "-m", "deploy.local.prepare", str(output)],
            log=log,
            cwd=ROOT,
            environment={**os.environ, **self.environment, MARK: f"{STATE}:{PART}"},
        )
        while process.poll() is None:
            if self.is_stopping.wait(0.05):
                return
        if process.returncode:
            tail = "\n".join(log.read_text().strip().splitlines()[-6:])
            raise CannotStart(f"The database or the contracts could not be made ready ({shown(log)}):\n{tail}")
        self.admin = json.loads(output.read_text())["admin"]
        output.unlink()  # it holds the password, which is kept nowhere
        stamp.write_text(now)
        step("Database, contracts", started, "migrated, deployed")

    def has_contracts(self) -> bool:
        """Look whether the node still holds the contracts that were deployed (a killed node may have lost them)."""
        file = STATE / "contracts.json"
        if not file.exists():
            return False
        address = json.loads(file.read_text())["ElectionManager"]
        call = {"jsonrpc": "2.0", "id": 1, "method": "eth_getCode", "params": [address, "latest"]}
        return len(requests.post(self.environment["CHAIN_RPC_URLS"], json=call, timeout=5).json()["result"]) > 2

    def start_parts(self) -> None:
        """Start the web and WebSocket server, the indexer, the worker, beat and the demo."""
        started = time.monotonic()
        celery = [str(BIN / "celery"), "-A", "config"]
        queues = "default,chain,notifications,audit"
        manage = [sys.executable, "manage.py"]
        # One port for both; in production HTTP has servers of its own (docs/adr/0005).
        parts = [Part("web", [*manage, "serve_sockets", "--port", str(self.ports["web"]), "--grace", "1"])]
        parts.append(Part("indexer", [*manage, "index_chain"]))
        worker = [*celery, "worker", "-Q", queues, "-c", "2", "--without-gossip", "--without-mingle", "-n", "local@%h"]
        parts.append(Part("worker", worker))
        # Two for each core, as in production; each loads a circuit's key when it first needs it.
        proving = [*celery, "worker", "-Q", "proofs", "-c", str(2 * (os.cpu_count() or 1)), "-n", "proofs@%h"]
        parts.append(Part("proofs", [*proving, "--without-gossip", "--without-mingle"]))
        parts.append(Part("sequencer", [*manage, "run_sequencer"], self.sequencer_environment))
        parts.append(Part("beat", [*celery, "beat", "-s", str(STATE / "beat"), "--pidfile="]))
        if self.is_demo:
            parts.append(Part("demo", [*manage, "seed_demo", "--follow"]))
        for part in parts:
            part.environment = {**self.environment, **part.environment}
            self.supervisor.start(part)
        self.wait_for_web()
        step("Web and workers", started, ", ".join(part.name for part in parts))
        if self.is_demo:
            self.wait_for_elections()

    def wait_for_web(self, timeout_seconds: float = 90) -> None:
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline and not self.is_stopping.is_set():
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"http://127.0.0.1:{self.ports['web']}/healthz", timeout=2).ok:
                    return
            self.supervisor.watch()
            time.sleep(0.1)
        if not self.is_stopping.is_set():
            raise CannotStart(f"The web server did not answer. Its log: {shown(self.supervisor.log('web'))}")

    def wait_for_elections(self, timeout_seconds: float = 30) -> None:
        """Wait until the demo's first election is indexed: whoever reads `Ready` looks at the elections next.

        The table is asked, for the API would count these questions against the caller's limit.
        """
        started = time.monotonic()
        query = "SELECT count(*) FROM elections_election WHERE NOT is_withdrawn"
        with psycopg.connect(self.environment["DATABASE_URL"], autocommit=True) as connection:
            while not self.is_stopping.is_set():
                row = connection.execute(query).fetchone()
                if row and row[0]:
                    step("Elections", started, f"{row[0]} indexed, more to come")
                    return
                if time.monotonic() - started > timeout_seconds:
                    say("  · the first elections are still on their way: they are transactions that have to be mined")
                    return
                self.supervisor.watch()
                self.is_stopping.wait(0.2)

    def stop(self) -> None:
        """Stop the parts, then the services, each within its deadline."""
        self.supervisor.stop(PARTS_STOP_SECONDS)
        with ThreadPoolExecutor() as pool:
            for future in [pool.submit(stop) for stop in self.stoppers]:
                with contextlib.suppress(Exception):
                    future.result()
        (STATE / "environment.json").unlink(missing_ok=True)
        rest = supervisor.marked_processes(STATE, PART, SERVICE)
        supervisor.send(rest, signal.SIGKILL)
        supervisor.wait_gone(rest, 0.5)


def announce(stack: Stack, started: float) -> None:
    url, socket_url = stack.url, stack.url.replace("http", "ws", 1)
    rows: list[tuple[str, str]] = [
        ("Elections", f"{url}/"),
        ("REST", f"{url}/elections     read it at {url}/api/docs"),
        ("GraphQL", f"{url}/graphql       try it at {url}/graphiql"),
        ("WebSocket", f"{socket_url}/ws/chain     {socket_url}/ws/elections"),
        ("Admin", f"{url}/admin/"),
        ("Local eID", f"citizen, viewer or admin, each with the password {oidc.PASSWORD}"),
        ("EVM node", f"{stack.environment['CHAIN_RPC_URLS']}     chain 31337"),
        ("Logs", shown(STATE / "logs")),
    ]
    say()
    for name, value in rows:
        say(f"  {name:<12} {value}")
    tell_password(stack)
    say()
    say(f"Ready in {time.monotonic() - started:.1f} s. Ctrl-C stops everything; the data stays until `make reset`.")


def tell_password(stack: Stack) -> None:
    """Show the first administrator's password, once; also when we are stopped before all is ready."""
    if stack.admin:
        say()
        say(f"  Administrator  {stack.admin['email']}")
        say(f"  Password       {stack.admin['password']}     shown this once, kept nowhere")
        stack.admin = None


def serve(stack: Stack, started: float) -> None:
    STATE.mkdir(parents=True, exist_ok=True)
    stack.start_services()
    if not stack.is_stopping.is_set():
        stack.configure()
        stack.share_environment()
        stack.prepare()
    if not stack.is_stopping.is_set():
        stack.start_parts()
    if not stack.is_stopping.is_set():
        announce(stack, started)
    while not stack.is_stopping.wait(0.5):
        stack.supervisor.watch()


def main() -> int:
    started = time.monotonic()
    is_demo = os.environ.get("DEMO", "1") not in {"0", "no", "false", ""}
    with exclusive() as is_ours:
        if not is_ours:
            say("`make run` is running in this folder already; stop it first (Ctrl-C there).")
            return 1
        leftovers = supervisor.end_leftovers(STATE)
        if leftovers:
            say(f"  · ended {leftovers} processes that an earlier, killed start left behind")
        try:
            wanted = wanted_ports()
            check_ports(wanted)
        except PortRefused as error:
            say(str(error))
            return 1
        stack = Stack(wanted_ports=wanted, is_demo=is_demo)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: stack.is_stopping.set())
        status = 0
        try:
            serve(stack, started)
        except (CannotStart, ServiceFailed) as error:
            say(f"\n{error}")
            status = 1
        finally:
            # Whatever happened, nothing is left running.
            tell_password(stack)
            # A second Ctrl-C changes nothing: the end is bounded.
            say("\nStopping …")
            stopping = time.monotonic()
            stack.stop()
            say(f"Stopped in {time.monotonic() - stopping:.1f} s.")
        return status


if __name__ == "__main__":
    sys.exit(main())
