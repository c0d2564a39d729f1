import os
import signal
import subprocess
import sys
import threading
import time

import psycopg
import pytest

from audit import merkle
from audit.canonical import GENESIS, canonical_json, entry_hash
from audit.exceptions import SequencerHalted
from audit.models import Checkpoint, Entry, Leaf, Tile
from audit.note import open_checkpoint
from audit.selectors import get_conninfo, get_log_state, get_verifier_keys
from audit.services import make_sequencer, sequence_all
from audit.services.sequencing import HEARTBEAT_SECONDS, LEADER_LOCK
from audit.tests.factories import tamper, wait_for, write
from audit.tests.roles import as_role, conninfo, database_url

pytestmark = pytest.mark.django_db(transaction=True)


def assert_whole():
    """Check the stored log by the plainest code: each entry once, linked, and the last checkpoint's root."""
    leaves = list(Leaf.objects.select_related("entry").order_by("seq"))
    assert [leaf.seq for leaf in leaves] == list(range(len(leaves)))
    assert len({leaf.entry_id for leaf in leaves}) == Entry.objects.count() == len(leaves)
    previous, hashes = GENESIS, []
    for leaf in leaves:
        entry = leaf.entry
        body = {
            "action": entry.action,
            "actor": entry.actor,
            "data": entry.data,
            "id": str(entry.pk),
            "previous": previous.hex(),
            "request_id": entry.request_id,
            "seq": leaf.seq,
            "target": entry.target,
            "time": entry.created_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "transaction": entry.transaction,
            "v": 1,
        }
        assert leaf.body.encode() == canonical_json(body)
        previous = entry_hash(leaf.body.encode())
        assert bytes(leaf.entry_hash) == previous
        hashes.append(merkle.leaf_hash(previous))

    def read(height, index):
        return merkle.perfect_root(hashes[index << height : (index + 1) << height])

    checkpoint = open_checkpoint(Checkpoint.objects.first().note, get_verifier_keys())
    assert checkpoint.tree_size == len(leaves)
    assert checkpoint.root_hash == merkle.root_hash(len(leaves), read)
    assert Tile.objects.filter(level=0).count() == len(leaves) // 256


@pytest.mark.slow
def test_entries_are_numbered_linked_and_signed():
    write(600)
    assert sequence_all() == 600
    assert_whole()
    write(5)
    assert sequence_all() == 5
    assert_whole()
    assert sequence_all() == 0
    assert get_log_state()["size"] == get_log_state()["checkpoint_size"] == 605


def test_a_batch_larger_than_the_limit_takes_several_transactions(monkeypatch):
    monkeypatch.setattr("audit.services.sequencing.BATCH_ENTRIES", 50)
    for _ in range(8):
        write(40)
    assert sequence_all() == 320
    assert_whole()


@pytest.mark.slow
def test_a_slow_writer_holds_nobody_up_and_is_not_forgotten():
    with as_role("psephos_app") as slow, slow.transaction():
        insert = "INSERT INTO audit_entry (id, created_at, action, actor, target, data, request_id) VALUES"
        slow.execute(f"{insert} (gen_random_uuid(), now(), 'tests.slow', 'system', '', '{{}}', '')")
        write(3)
        sequencer = make_sequencer()
        stop = threading.Event()
        thread = threading.Thread(target=sequencer.run, args=[stop])
        thread.start()
        wait_for(lambda: Leaf.objects.count() == 3)
        write(2)
        wait_for(lambda: Leaf.objects.count() == 5)
    wait_for(lambda: Leaf.objects.count() == 6)
    stop.set()
    thread.join(20)
    assert Leaf.objects.get(seq=5).entry.action == "tests.slow"
    assert_whole()


def test_one_leads_and_the_other_takes_over():
    first, second, stop_first, stop_second = (
        *(make_sequencer(poll_seconds=0.05) for _ in range(2)),
        *(threading.Event() for _ in range(2)),
    )
    threads = [
        threading.Thread(target=first.run, args=[stop_first]),
        threading.Thread(target=second.run, args=[stop_second]),
    ]
    threads[0].start()
    write(1)
    wait_for(lambda: Leaf.objects.count() == 1)
    threads[1].start()
    stop_first.set()
    threads[0].join(20)
    write(2)
    wait_for(lambda: Leaf.objects.count() == 3)
    stop_second.set()
    threads[1].join(20)
    assert_whole()


@pytest.mark.slow
def test_a_leader_without_its_connection_writes_no_more():
    sequencer = make_sequencer(poll_seconds=0.05, checkpoint_seconds=0)
    stop = threading.Event()
    thread = threading.Thread(target=sequencer.run, args=[stop])
    thread.start()
    write(3)
    wait_for(lambda: Leaf.objects.count() == 3)
    with as_role("postgres") as superuser:
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'psephos-sequencer'"
            " AND datname = current_database()"
        )
    write(4)
    wait_for(lambda: Leaf.objects.count() == 7)
    stop.set()
    thread.join(20)
    assert_whole()


def test_the_sequencer_works_under_a_role_of_its_own():
    write(300)
    sequencer = make_sequencer(conninfo=conninfo("psephos_sequencer"), poll_seconds=0.05)
    with sequencer.connect() as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("psephos_sequencer",)
        sequencer.beat(connection)
    stop = threading.Event()
    thread = threading.Thread(target=sequencer.run, args=[stop])
    thread.start()
    wait_for(lambda: Leaf.objects.count() == 301)
    stop.set()
    thread.join(20)
    assert_whole()


@pytest.mark.slow
def test_a_quiet_log_still_moves(monkeypatch):
    assert HEARTBEAT_SECONDS == 3600
    monkeypatch.setattr("audit.services.sequencing.HEARTBEAT_SECONDS", 0.2)
    stop = threading.Event()
    thread = threading.Thread(target=make_sequencer(poll_seconds=0.05, checkpoint_seconds=0).run, args=[stop])
    thread.start()
    wait_for(lambda: Checkpoint.objects.filter(tree_size__gte=2).exists())
    stop.set()
    thread.join(20)
    assert set(Entry.objects.values_list("action", "actor")) == {("audit.heartbeat", "system:sequencer")}
    assert_whole()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM audit_leaf WHERE seq >= 290", "its tail was cut"),
        ("DELETE FROM audit_leaf WHERE seq = 270", "has not the 300 hashes"),
        ("DELETE FROM audit_tile", "level 1 of the tree has not the 1 hashes of 300 entries"),
        (
            "UPDATE audit_leaf SET entry_hash = sha256('x') WHERE seq = 299",
            "not the one that the last checkpoint signed",
        ),
        ("UPDATE audit_tile SET root = sha256('x')", "not the one that the last checkpoint signed"),
    ],
)
def test_a_sequencer_signs_no_fork(statement, message):
    write(300)
    sequence_all()
    tamper(statement)
    write(1)
    with pytest.raises(SequencerHalted, match=message):
        sequence_all()
    assert Checkpoint.objects.count() == 1


@pytest.mark.slow
def test_sigkill_anywhere_leaves_no_gap_and_doubles_nothing():
    environment = os.environ | {"DATABASE_URL": database_url(), "AUDIT_SEQUENCER_POLL_SECONDS": "0.01"}
    environment |= {"AUDIT_CHECKPOINT_SECONDS": "0"}
    written = 0
    is_writing = threading.Event()
    is_writing.set()

    def write_on():
        nonlocal written
        with psycopg.connect(get_conninfo(), autocommit=True) as connection:
            while is_writing.is_set():
                with connection.transaction():
                    for _ in range(20):
                        connection.execute(
                            "INSERT INTO audit_entry (id, created_at, action, actor, target, data, request_id)"
                            " VALUES (gen_random_uuid(), now(), 'tests.load', 'system', '', '{}', '')"
                        )
                written += 20
                time.sleep(0.005)

    writers = [threading.Thread(target=write_on) for _ in range(1)]
    for writer in writers:
        writer.start()
    for delay in (0.0, 0.1):
        before = Leaf.objects.count()
        process = subprocess.Popen([sys.executable, "manage.py", "run_sequencer"], env=environment)
        wait_for(lambda before=before: Leaf.objects.count() > before)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    is_writing.clear()
    for writer in writers:
        writer.join()
    with as_role("postgres") as superuser:
        wait_for(
            lambda: (
                superuser.execute(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s",
                    [LEADER_LOCK >> 32, LEADER_LOCK & 0xFFFFFFFF],
                ).fetchone()
                == (0,)
            )
        )
    process = subprocess.Popen([sys.executable, "manage.py", "run_sequencer"], env=environment)
    wait_for(lambda: Leaf.objects.count() == written)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert written > 100
    assert_whole()
