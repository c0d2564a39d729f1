"""Numbers committed entries, links them into the chain, grows the tree and signs checkpoints."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from django.conf import settings
from psycopg.types.json import set_json_loads

from audit.canonical import GENESIS, entry_bytes, entry_hash, load_data
from audit.exceptions import MayNotSequence, NoSigningKey, SequencerHalted
from audit.merkle import TILE_HEIGHT, TILE_WIDTH, GrowingTree, leaf_hash, root_hash, tile_reader
from audit.models import entry_id
from audit.note import SigningKey
from audit.selectors import get_conninfo

logger = logging.getLogger(__name__)

# The session-level advisory lock that makes one sequencer the leader; the number spells "psephos".
LEADER_LOCK = int.from_bytes(b"psephos")
# The log moves at least hourly, so that a frozen copy of it is noticed.
HEARTBEAT_SECONDS = 3600
APPLICATION_NAME = "psephos-sequencer"
BATCH_ENTRIES = 2000

# By transaction, so that `seen_below` can advance with the rows; a transaction's own entries in their order (UUIDv7).
NEW_ENTRIES = """
SELECT e.id, e.created_at, e.action, e.actor, e.target, e.data, e.request_id, e.transaction
FROM audit_entry e
WHERE e.transaction >= %s AND NOT EXISTS (SELECT FROM audit_leaf l WHERE l.entry_id = e.id)
ORDER BY e.transaction, e.id
LIMIT %s
"""

UNSIGNED = """
SELECT l.seq, l.body, l.entry_hash,
    e.id, e.created_at, e.action, e.actor, e.target, e.data, e.request_id, e.transaction
FROM audit_leaf l JOIN audit_entry e ON e.id = l.entry_id
WHERE l.seq >= %s AND l.seq < %s
ORDER BY l.seq
"""
# `migrate` grants all of it or nothing (audit.services.grants); NULL: no such table, or none that the role may see.
MAY_WRITE = """
SELECT current_user, bool_and(coalesce(has_table_privilege(to_regclass(name), 'INSERT'), false))
FROM unnest(ARRAY['audit_leaf', 'audit_tile', 'audit_checkpoint']) name
"""
HOLDER = """
SELECT a.pid, a.usename, a.application_name, a.usename = session_user AND a.application_name = %s
FROM pg_locks k JOIN pg_stat_activity a USING (pid)
WHERE k.locktype = 'advisory' AND k.granted AND k.objsubid = 1 AND k.classid = %s AND k.objid = %s
    AND a.datname = current_database()
"""


@dataclass
class Log:
    """The leader's memory of the log's end."""

    tree: GrowingTree
    last_hash: bytes
    checkpoint_size: int
    # Every entry of a transaction below this number has its leaf. In memory only: a new leader looks at all.
    seen_below: int = 0


class Sequencer:
    """Turns committed entries into the log; run as many as you like, all but one stand by.

    A writer never waits for it: it looks for entries without a leaf, among those of transactions that were still
    running at its last look or began since. Leaves and tiles of a batch commit together, so a crash repeats nothing
    and leaves no gap. Its writes go through the connection that holds the leader's lock: with that gone, so are they.
    """

    def __init__(
        self,
        *,
        conninfo: str,
        signing_key: SigningKey,
        poll_seconds: float = 0.2,
        checkpoint_seconds: float = 5,
        on_batch: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.conninfo = conninfo
        self.signing_key = signing_key
        self.poll_seconds = poll_seconds
        self.checkpoint_seconds = checkpoint_seconds
        self.on_batch = on_batch

    def run(self, stop: threading.Event) -> None:
        """Lead or stand by until `stop`.

        Raises SequencerHalted when the stored log is not the signed one, MayNotSequence under a role that may not.
        """
        while not stop.is_set():
            try:
                with self.connect() as connection:
                    check_role(connection)
                    if self.take_lead(connection, stop):
                        self.lead(connection, stop)
            except psycopg.errors.InsufficientPrivilege as error:
                raise MayNotSequence(f"rights were taken away meanwhile: {error.diag.message_primary}") from error
            except psycopg.OperationalError as error:
                logger.warning("the sequencer lost the database, trying again: %s", str(error).strip())
                stop.wait(1)

    def connect(self) -> psycopg.Connection:
        connection = psycopg.connect(
            self.conninfo,
            autocommit=True,
            application_name=APPLICATION_NAME,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
        )
        set_json_loads(load_data, connection)  # type: ignore[arg-type]  # it is given bytes
        return connection

    def take_lead(self, connection: psycopg.Connection, stop: threading.Event) -> bool:
        is_waiting = False
        while not stop.is_set():
            if _fetch_one(connection, "SELECT pg_try_advisory_lock(%s)", [LEADER_LOCK])[0]:
                logger.info("this sequencer leads")
                return True
            if not is_waiting:
                parts = [APPLICATION_NAME, LEADER_LOCK >> 32, LEADER_LOCK & 0xFFFFFFFF]
                for pid, role, name, is_sequencer in connection.execute(HOLDER, parts):
                    # Whoever may connect can take the lock: not holding it by a sequencer stops the log.
                    level = logging.INFO if is_sequencer else logging.ERROR
                    logger.log(level, "%s leads (process %s of %s); this one stands by", name, pid, role)
                is_waiting = True
            stop.wait(min(1, self.poll_seconds * 5))
        return False

    def lead(self, connection: psycopg.Connection, stop: threading.Event) -> None:
        log = load_log(connection)
        moved_at = signed_at = time.monotonic()
        while True:
            is_stopping = stop.is_set()
            count = self.sequence_batch(connection, log)
            now = time.monotonic()
            if count:
                moved_at = now
                self.on_batch(count)
            if log.tree.size > log.checkpoint_size and (is_stopping or now - signed_at >= self.checkpoint_seconds):
                self.sign(connection, log)
                signed_at = now
            if is_stopping:
                return
            if now - moved_at >= HEARTBEAT_SECONDS:
                self.beat(connection)
            if count < BATCH_ENTRIES:
                stop.wait(self.poll_seconds)

    def sequence_batch(self, connection: psycopg.Connection, log: Log) -> int:
        """Give the next committed entries their leaves, at most 2,000 in one transaction; return how many."""
        with connection.transaction():
            # One snapshot for both reads: what it cannot see belongs to transactions at or past its xmin.
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            if log.seen_below:
                # Few rows at the log's end. Without fresh statistics (a young database, a restored one) the planner
                # would read both tables whole, several times a second.
                connection.execute("SET LOCAL enable_hashjoin = off")
                connection.execute("SET LOCAL enable_mergejoin = off")
                connection.execute("SET LOCAL enable_seqscan = off")
            [running_from] = _fetch_one(connection, "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            rows = connection.execute(NEW_ENTRIES, [log.seen_below, BATCH_ENTRIES]).fetchall()
            if rows:
                self.append(connection, log, rows)
        is_all = len(rows) < BATCH_ENTRIES
        log.seen_below = max(log.seen_below, running_from if is_all else min(running_from, rows[-1][7]))
        return len(rows)

    def append(self, connection: psycopg.Connection, log: Log, rows: list[tuple]) -> None:
        try:
            self.write(connection, log, rows)
        except psycopg.errors.UniqueViolation as error:
            raise SequencerHalted(f"somebody else numbered entries: {error.diag.message_detail}") from error

    def write(self, connection: psycopg.Connection, log: Log, rows: list[tuple]) -> None:
        tree = GrowingTree(log.tree.size, log.tree.levels)
        last_hash, tiles = log.last_hash, []
        with connection.cursor() as cursor:
            with cursor.copy("COPY audit_leaf (seq, entry_id, body, entry_hash) FROM STDIN") as copy:
                for row in rows:
                    body = body_of(row, seq=tree.size, previous=last_hash)
                    last_hash = entry_hash(body)
                    copy.write_row((tree.size, row[0], body.decode(), last_hash))
                    tiles += tree.append(leaf_hash(last_hash))
            if tiles:
                cursor.executemany("INSERT INTO audit_tile (level, index, hashes, root) VALUES (%s, %s, %s, %s)", tiles)
        # Should the commit fail, the connection is lost or the process halts: nobody goes on with this memory.
        log.tree, log.last_hash = tree, last_hash

    def sign(self, connection: psycopg.Connection, log: Log) -> None:
        root = log.tree.root()
        # Signed times are in seconds; the column says the same.
        now = datetime.now(UTC).replace(microsecond=0)
        note = self.signing_key.sign_checkpoint(log.tree.size, root, at=int(now.timestamp()))
        connection.execute(
            "INSERT INTO audit_checkpoint (created_at, tree_size, root_hash, note) VALUES (%s, %s, %s, %s)",
            [now, log.tree.size, root, note],
        )
        log.checkpoint_size = log.tree.size

    def beat(self, connection: psycopg.Connection) -> None:
        connection.execute(
            "INSERT INTO audit_entry (id, created_at, action, actor, target, data, request_id)"
            " VALUES (%s, %s, 'audit.heartbeat', 'system:sequencer', '', '{}', '')",
            [entry_id(), datetime.now(UTC)],
        )


def body_of(row: Sequence[Any], *, seq: int, previous: bytes) -> bytes:
    """Return the canonical bytes of an entry whose columns were read in the order of NEW_ENTRIES."""
    id_, created_at, action, actor, target, data, request_id, transaction = row
    return entry_bytes(
        seq=seq,
        previous=previous,
        id=id_,
        created_at=created_at,
        action=action,
        actor=actor,
        target=target,
        data=data,
        request_id=request_id,
        transaction=transaction,
    )


def load_log(connection: psycopg.Connection) -> Log:
    """Read the log's end; refuse one that its last checkpoint does not vouch for."""
    end = connection.execute("SELECT seq, entry_hash FROM audit_leaf ORDER BY seq DESC LIMIT 1").fetchone()
    size, last_hash = (end[0] + 1, end[1]) if end else (0, GENESIS)
    levels: list[list[bytes]] = []
    level = 0
    while size >> (TILE_HEIGHT * level) or level == 0:
        count = size >> (TILE_HEIGHT * level)
        start = count - count % TILE_WIDTH
        if level == 0:
            query = "SELECT seq, entry_hash FROM audit_leaf WHERE seq >= %s ORDER BY seq"
            rows = [(at, leaf_hash(hashed)) for at, hashed in connection.execute(query, [start])]
        else:
            query = "SELECT index, root FROM audit_tile WHERE level = %s AND index >= %s ORDER BY index"
            rows = connection.execute(query, [level - 1, start]).fetchall()
        if [at for at, _ in rows] != list(range(start, count)):
            raise SequencerHalted(f"level {level} of the tree has not the {count} hashes of {size} entries")
        levels.append([hashed for _, hashed in rows])
        level += 1
    log = Log(GrowingTree(size, levels), last_hash, 0)
    signed = connection.execute("SELECT tree_size, root_hash FROM audit_checkpoint ORDER BY id DESC LIMIT 1").fetchone()
    if signed:
        log.checkpoint_size = signed[0]
        check_against_checkpoint(connection, log, tree_size=signed[0], signed_root=signed[1])
    check_unsigned(connection, log)
    return log


def check_role(connection: psycopg.Connection) -> None:
    """Raise MayNotSequence under a role that may not write the log: it would read all of it first, and then fail."""
    role, may_write = _fetch_one(connection, MAY_WRITE)
    if not may_write:
        right = settings.DATABASE_SEQUENCER_ROLE
        remedy = "run `migrate`, which grants it" if role == right else f"give the sequencer a DATABASE_URL of {right}"
        raise MayNotSequence(f"the role {role} may not write the audit log's leaves and checkpoints: {remedy}")


def check_unsigned(connection: psycopg.Connection, log: Log) -> None:
    """Check the leaves that no checkpoint covers yet against their entries: what is signed next must be the log.

    Of the application's and the sequencer's roles only the latter may write leaves. This finds what a superuser, the
    owner, or whoever got hold of the sequencer's password put there.
    """
    start = log.checkpoint_size
    previous = GENESIS
    if start:
        [previous] = _fetch_one(connection, "SELECT entry_hash FROM audit_leaf WHERE seq = %s", [start - 1])
    while rows := connection.execute(UNSIGNED, [start, start + BATCH_ENTRIES]).fetchall():
        for seq, body, hashed, *row in rows:
            expected = body_of(row, seq=seq, previous=previous)
            previous = entry_hash(expected)
            if body.encode() != expected or hashed != previous:
                raise SequencerHalted(f"the leaf {seq}, which nobody signed yet, is not that of its entry {row[0]}")
        start += len(rows)


def check_against_checkpoint(connection: psycopg.Connection, log: Log, *, tree_size: int, signed_root: bytes) -> None:
    if tree_size > log.tree.size:
        raise SequencerHalted(
            f"the last checkpoint covers {tree_size} entries, the log has {log.tree.size}: its tail was cut"
        )

    def fetch(level: int, index: int) -> bytes:
        full = connection.execute("SELECT hashes FROM audit_tile WHERE level = %s AND index = %s", [level, index])
        if row := full.fetchone():
            return bytes(row[0])
        return b"".join(log.tree.levels[level]) if level < len(log.tree.levels) else b""

    try:
        root = root_hash(tree_size, tile_reader(fetch))
    except LookupError as error:
        raise SequencerHalted(str(error)) from error
    if root != signed_root:
        raise SequencerHalted(f"the tree's root at {tree_size} entries is not the one that the last checkpoint signed")


def _fetch_one(connection: psycopg.Connection, query: str, parameters: list | None = None) -> tuple:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row


def make_sequencer(**options: Any) -> Sequencer:
    """Make a sequencer from the settings; raise NoSigningKey without one."""
    if not settings.AUDIT_SIGNING_KEY:
        raise NoSigningKey
    chosen: dict[str, Any] = {
        "conninfo": get_conninfo(),
        "signing_key": SigningKey.parse(settings.AUDIT_SIGNING_KEY),
        "poll_seconds": settings.AUDIT_SEQUENCER_POLL_SECONDS,
        "checkpoint_seconds": settings.AUDIT_CHECKPOINT_SECONDS,
    }
    return Sequencer(**(chosen | options))


def sequence_all(**options: Any) -> int:
    """Sequence what is committed and sign it, once; return how many entries (0 while another sequencer leads)."""
    counts: list[int] = []
    sequencer = make_sequencer(**options)
    with sequencer.connect() as connection:
        check_role(connection)
        if not _fetch_one(connection, "SELECT pg_try_advisory_lock(%s)", [LEADER_LOCK])[0]:
            return 0
        log = load_log(connection)
        while count := sequencer.sequence_batch(connection, log):
            counts.append(count)
        if log.tree.size > log.checkpoint_size:
            sequencer.sign(connection, log)
    return sum(counts)
