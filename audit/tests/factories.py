"""Logs for tests: entries written, changed behind the application's back, and checked."""

import hashlib
import json
import time

from django.db import transaction

from audit import merkle
from audit.canonical import GENESIS, canonical_json
from audit.models import Leaf
from audit.services import record, sequence_all, verify_log, write_bundle
from audit.tests.roles import as_role


def write(count, action="tests.written"):
    with transaction.atomic():
        return [record(action=action, target=f"thing:{number}", data={"n": number}) for number in range(count)]


def make_bundle(folder, count):
    """Write a log of so many entries into a zip file."""
    write(count)
    sequence_all()
    path = folder / "log.zip"
    write_bundle(path=path)
    return path


def tamper(*statements):
    """Run statements as a superuser whom no trigger stops."""
    with as_role("postgres") as superuser:
        superuser.execute("SET session_replication_role = replica")
        for statement in statements:
            superuser.execute(statement)


def rewrite_everything(signing_key):
    """Change an entry, then recompute every hash, tile and checkpoint after it."""
    tamper("UPDATE audit_entry SET actor = 'x' WHERE id = (SELECT entry_id FROM audit_leaf WHERE seq = 7)")
    tree, previous, statements = (
        merkle.GrowingTree(),
        GENESIS,
        ["DELETE FROM audit_tile", "DELETE FROM audit_checkpoint"],
    )
    for leaf in Leaf.objects.select_related("entry").order_by("seq"):
        body = json.loads(leaf.body) | {"actor": leaf.entry.actor, "previous": previous.hex()}
        text = canonical_json(body).decode()
        previous = hashlib.sha256(text.encode()).digest()
        quoted = text.replace("'", "''")
        statements.append(
            f"UPDATE audit_leaf SET body = '{quoted}', entry_hash = '\\x{previous.hex()}' WHERE seq = {leaf.seq}"
        )
        for level, index, hashes, root in tree.append(merkle.leaf_hash(previous)):
            statements.append(
                "INSERT INTO audit_tile (level, index, hashes, root)"
                f" VALUES ({level}, {index}, '\\x{hashes.hex()}', '\\x{root.hex()}')"
            )
    note = signing_key.sign_checkpoint(tree.size, tree.root())
    statements.append(
        "INSERT INTO audit_checkpoint (created_at, tree_size, root_hash, note)"
        f" VALUES (now(), {tree.size}, '\\x{tree.root().hex()}', '{note}')"
    )
    tamper(*statements)


def findings():
    """Say what the verification finds, in one process."""
    report = verify_log(processes=1)
    return [str(finding) for finding in report.findings]


def wait_for(is_true, timeout_seconds=60):
    deadline = time.monotonic() + timeout_seconds
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
