"""Kills, races, lost databases, halts: nothing is lost, nothing counted twice, nothing final undone."""

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from audit.models import Entry
from chain.exceptions import CheckpointMoved, ConfigurationRefused, IndexerHalted, WrongChain
from chain.models import Checkpoint, EventLog
from chain.nodes import Nodes
from chain.reading import Reader
from chain.selectors import get_chain_health
from chain.services import Configured, HeadListener, Indexer, Runner
from chain.services.leases import new_writer_name
from chain.tests.crashing import STEPS
from chain.tests.factories import Ground
from chain.tests.oracle import assert_equals_fresh_index
from deploy.local import services
from elections.models import Election

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parent.parent.parent


def environment(ground: Ground, **more: str) -> dict[str, str]:
    """The environment of a process that works on this test's database and node."""
    return (
        dict(os.environ)
        | {
            "DATABASE_URL": database_url(),
            "DJANGO_SETTINGS_MODULE": "config.settings.test",
            "CHAIN_RPC_URLS": ground.url,
            "CHAIN_CONTRACTS": f"psephos@{ground.manager}@1",
            "CHAIN_POLL_SECONDS": "0.2",
            "LOG_LEVEL": "WARNING",
        }
        | more
    )


def database_url() -> str:
    """The address of this test's database."""
    return os.environ["DATABASE_URL"].replace("/psephos?", f"/{connection.settings_dict['NAME']}?")


def wait_for(condition: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise AssertionError("it did not happen in time")


def votes() -> int:
    return EventLog.objects.canonical().filter(event="VoteCast").count()


@pytest.fixture
def threads() -> Iterator[Callable[[Runner], threading.Thread]]:
    """Start runners in threads, and stop them all at the end."""
    started: list[tuple[Runner, threading.Thread]] = []

    def start(runner: Runner) -> threading.Thread:
        def target() -> None:
            try:
                runner.run()
            finally:
                connection.close()

        thread = threading.Thread(target=target, daemon=True)
        thread.start()
        started.append((runner, thread))
        return thread

    yield start
    for runner, _ in started:
        runner.stop()
    for _, thread in started:
        thread.join(20)


@pytest.mark.parametrize(
    "step", [pytest.param(step, marks=[] if step == "committed" else [pytest.mark.slow]) for step in STEPS]
)
def test_sigkill_at_any_step_loses_and_doubles_nothing(ground: Ground, index_once: Any, step: str) -> None:
    election_id = ground.create_election(blocks=500)
    ground.vote(election_id, 0, sender=1)
    index_once()
    ground.vote(election_id, 1, sender=2)
    command = [sys.executable, "-m", "chain.tests.crashing", step]
    killed = subprocess.run(command, env=environment(ground), cwd=ROOT, capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    assert votes() == (2 if step in ("committed", "published") else 1)
    # Its lease would lapse by itself; another test waits for that.
    Checkpoint.objects.update(lease_expires_at=None)
    index_once()
    assert list(Election.objects.get().votes) == [1, 1, 0]
    assert_equals_fresh_index(index_once)


@pytest.mark.slow
def test_a_standby_takes_over_from_a_killed_leader(
    ground: Ground, make_indexer: Any, index_once: Any, threads: Any
) -> None:
    election_id = ground.create_election(blocks=500)
    command = [sys.executable, "manage.py", "index_chain"]
    leader = subprocess.Popen(
        command, env=environment(ground), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_for(lambda: Election.objects.exists())
        states: list[str] = []
        standby = Runner(make_indexer(), poll_seconds=0.1, on_state=states.append)
        threads(standby)
        wait_for(lambda: "standby" in states)
        ground.vote(election_id, 0, sender=1)
        wait_for(lambda: votes() == 1)
        assert "writing" not in states
    finally:
        leader.kill()
        leader.wait()
    ground.vote(election_id, 1, sender=2)
    wait_for(lambda: votes() == 2)
    assert "writing" in states
    standby.stop()
    wait_for(lambda: Checkpoint.objects.get().writer == "")
    assert_equals_fresh_index(index_once)


@pytest.mark.slow
def test_of_two_indexers_one_writes_and_the_other_takes_over(
    ground: Ground, make_indexer: Any, index_once: Any, threads: Any
) -> None:
    election_id = ground.create_election(blocks=500)
    first, second = Runner(make_indexer(), poll_seconds=0.05), Runner(make_indexer(), poll_seconds=0.05)
    threads(first)
    wait_for(lambda: Election.objects.exists())
    threads(second)
    for sender in range(1, 5):
        ground.vote(election_id, sender % 3, sender=sender)
    wait_for(lambda: votes() == 4)
    first.stop()
    for sender in range(5, 9):
        ground.vote(election_id, sender % 3, sender=sender)
    wait_for(lambda: votes() == 8)
    assert Checkpoint.objects.get().writer == second.indexer.writer
    second.stop()
    wait_for(lambda: Checkpoint.objects.get().writer == "")
    assert_equals_fresh_index(index_once)


def test_the_loser_of_a_race_writes_nothing(ground: Ground, make_indexer: Any) -> None:
    election_id = ground.create_election(blocks=500)
    first, second = make_indexer(), make_indexer()
    # Even with the lease of the other, the nonce decides.
    second.writer = first.writer
    assert first.open()
    assert second.open()
    ground.vote(election_id, 0)
    first.step()
    before = list(EventLog.objects.values()), list(Election.objects.values())
    with pytest.raises(CheckpointMoved):
        second.step()
    assert (list(EventLog.objects.values()), list(Election.objects.values())) == before


@pytest.mark.slow
def test_lost_database_connections_are_made_again(
    ground: Ground, make_indexer: Any, index_once: Any, threads: Any
) -> None:
    election_id = ground.create_election(blocks=500)
    runner = Runner(make_indexer(), poll_seconds=0.05)
    threads(runner)
    wait_for(lambda: Election.objects.exists())
    for sender in range(1, 4):
        with psycopg.connect(database_url(), autocommit=True) as other, connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            own = cursor.fetchone()[0]
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s "
                "AND pid NOT IN (%s, pg_backend_pid())",
                [connection.settings_dict["NAME"], own],
            )
        ground.vote(election_id, sender % 3, sender=sender)
        wait_for(lambda sender=sender: votes() == sender)
    runner.stop()
    wait_for(lambda: Checkpoint.objects.get().writer == "")
    assert_equals_fresh_index(index_once)


@pytest.mark.slow
def test_postgresql_restarted_under_the_indexer(ground: Ground, service_folder: Path) -> None:
    postgres = services.start_postgres(service_folder / "restarted", is_durable=False)
    indexer = None
    try:
        postgres.create_database("psephos")
        url = postgres.url("psephos")
        env = environment(ground) | {"DATABASE_URL": url, "MIGRATION_DATABASE_URL": url}
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=ROOT, check=True, env=env)
        election_id = ground.create_election(blocks=500)
        indexer = subprocess.Popen([sys.executable, "manage.py", "index_chain"], cwd=ROOT, env=env)

        def turnout() -> int:
            try:
                with psycopg.connect(url) as other:
                    row = other.execute("SELECT turnout FROM elections_election").fetchone()
                    return -1 if row is None else int(row[0])
            except psycopg.OperationalError:
                return -1

        wait_for(lambda: turnout() == 0)
        for sender in (1, 2):
            postgres.stop()
            ground.vote(election_id, 0, sender=sender)
            postgres = services.start_postgres(service_folder / "restarted", is_durable=False)
            wait_for(lambda sender=sender: turnout() == sender)
        assert indexer.poll() is None
    finally:
        if indexer is not None:
            indexer.terminate()
            indexer.wait(20)
        postgres.stop()


# Finality


@pytest.fixture
def final_ground(service_folder: Path) -> Iterator[Ground]:
    """A node on which a block is final two blocks later."""
    node = services.start_anvil(service_folder / "final", options=["--slots-in-an-epoch", "1"])
    ground = Ground(node.url)
    ground.deploy_manager()
    yield ground
    node.stop()


def indexer_of(ground: Ground) -> Indexer:
    return Indexer(
        reader=Reader(Nodes([ground.url], chain_id=31337)),
        chain_id=31337,
        configured=[Configured("psephos", ground.manager, 1)],
        writer=new_writer_name(),
    )


@pytest.mark.slow
def test_nothing_final_is_undone_before_a_review(final_ground: Ground, settings: Any, client: Any) -> None:
    ground = final_ground
    settings.CHAIN_RPC_URLS, settings.CHAIN_CONTRACTS = [ground.url], [f"psephos@{ground.manager}@1"]
    election_id = ground.create_election(blocks=500)
    ground.vote(election_id, 0, sender=1)
    ground.vote(election_id, 1, sender=2)
    ground.mine(6)
    Runner(indexer_of(ground), once=True).run()
    assert Checkpoint.objects.get().finalized_block >= ground.height - 3
    before = list(EventLog.objects.values()), list(Election.objects.values())

    ground.call("anvil_reorg", 7, [])
    ground.mine(2)
    with pytest.raises(IndexerHalted, match="final"):
        Runner(indexer_of(ground), once=True).run()
    assert (list(EventLog.objects.values()), list(Election.objects.values())) == before
    assert get_chain_health(31337).code == "halted_reorg_below_finality"
    assert client.get("/readyz").json()["parts"]["chain"]["code"] == "halted_reorg_below_finality"
    assert Entry.objects.filter(action="chain.indexer.halted").count() == 1
    with pytest.raises(CommandError, match="resume-after-review"):
        call_command("index_chain", "--once", stderr=io.StringIO())
    assert (list(EventLog.objects.values()), list(Election.objects.values())) == before

    call_command("index_chain", "--once", "--resume-after-review", stdout=io.StringIO(), stderr=io.StringIO())
    assert Entry.objects.filter(action="chain.indexer.resumed").exists()
    assert list(Election.objects.get().votes) == [1, 0, 0]
    assert_equals_fresh_index(lambda: Runner(indexer_of(ground), once=True).run())


@pytest.mark.slow
def test_a_reorg_deeper_than_everything_stored_after_a_review(final_ground: Ground, settings: Any) -> None:
    ground = final_ground
    settings.CHAIN_RPC_URLS, settings.CHAIN_CONTRACTS = [ground.url], [f"psephos@{ground.manager}@1"]
    election_id = ground.create_election(blocks=500)
    ground.mine(30)
    ground.vote(election_id, 1, sender=2)
    ground.mine(10)
    Runner(indexer_of(ground), once=True).run()
    ground.call("anvil_reorg", 25, [])
    ground.mine(2)
    with pytest.raises(IndexerHalted):
        Runner(indexer_of(ground), once=True).run()
    call_command("index_chain", "--once", "--resume-after-review", stdout=io.StringIO(), stderr=io.StringIO())
    assert Election.objects.get().turnout == 0
    assert_equals_fresh_index(lambda: Runner(indexer_of(ground), once=True).run())


# Refused at start


@pytest.mark.parametrize(
    ("configured", "message"),
    [
        (lambda ground: Configured("psephos", "0x" + "ab" * 20, 1), "no contract at this address"),
        (lambda ground: Configured("psephos", ground.deploy("TotingV2"), 1), "emits no"),
        (lambda ground: Configured("toting-v2", ground.manager, 1), "emits no"),
        (lambda ground: Configured("psephos", ground.manager, 10_000), "past the head"),
    ],
)
def test_a_wrong_contract_is_refused_with_what_to_do(
    ground: Ground, make_indexer: Any, configured: Any, message: str
) -> None:
    with pytest.raises(ConfigurationRefused, match=message):
        Runner(make_indexer(contracts=[configured(ground)]), once=True).run()
    assert not Checkpoint.objects.exists()


def test_an_endpoint_of_another_chain_is_refused(ground: Ground) -> None:
    indexer = Indexer(
        reader=Reader(Nodes([ground.url], chain_id=1)),
        chain_id=1,
        configured=[Configured("psephos", ground.manager, 1)],
        writer="x",
    )
    with pytest.raises(WrongChain, match="CHAIN_RPC_URLS"):
        Runner(indexer, once=True).run()
    assert not Checkpoint.objects.exists()


def test_a_node_that_is_down_at_start_is_waited_for(
    service_folder: Path, make_indexer: Any, ground: Ground, threads: Any
) -> None:
    port = services.free_port()
    runner = Runner(make_indexer(f"http://127.0.0.1:{port}", ground.url), poll_seconds=0.1)
    threads(runner)
    wait_for(lambda: Checkpoint.objects.exists())


# Speed is no excuse


@pytest.mark.slow
def test_loading_the_chain_app_leaves_the_recursion_limit_alone(client: Any) -> None:
    # In a process of its own: here the libraries may be loaded already.
    program = """
        import sys
        from chain.evm import account_from, websocket_client
        account_from("0x" + "01" * 32)
        websocket_client("ws://127.0.0.1:1")
        print(sys.getrecursionlimit())
    """
    printed = subprocess.run([sys.executable, "-c", dedent(program)], capture_output=True, text=True, check=True)
    assert int(printed.stdout) <= 10_000
    deep = "[" * 50_000 + "]" * 50_000
    answer = client.post("/elections", data=deep, content_type="application/json")
    assert 400 <= answer.status_code < 500


def test_a_websocket_that_falls_silent_is_answered_by_polling(ground: Ground) -> None:
    from websockets.sync.server import serve

    subscribed = threading.Event()

    def silent(client: Any) -> None:
        client.recv()
        client.send('{"jsonrpc":"2.0","id":0,"result":"0x1"}')
        subscribed.set()
        for _ in client:
            pass

    heard = []
    with serve(silent, "127.0.0.1", 0) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        reader = Reader(Nodes([ground.url], chain_id=31337))
        listener = HeadListener(
            reader=reader, chain_id=31337, name="t", ws_url=url, poll_seconds=0.1, on_head=lambda: heard.append(1)
        )
        listener.start()
        try:
            assert subscribed.wait(20)
            ground.mine()
            wait_for(lambda: listener.last is not None and listener.last.number == ground.height)
        finally:
            listener.stop()
    assert heard
