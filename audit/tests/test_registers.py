"""Exports, anchors and verifications: every column of each row is bound to the entry that was logged with it."""

import threading

import psycopg
import pytest
from django.db import connection, models
from hypothesis import given
from hypothesis import strategies as st

from audit.models import Anchor, Entry, Export, Verification
from audit.redaction import redact
from audit.registers import REGISTERS, spell_columns
from audit.selectors import get_conninfo
from audit.services import export_log, record, record_anchor, sequence_all, verify_log
from audit.tests.factories import tamper, write
from audit.tests.roles import as_role
from audit.verification.database.registers import LOGGED, Logged, Registered, check_registers, read_registers

pytestmark = pytest.mark.django_db(transaction=True)

REGISTERED = {model._meta.db_table: model for model in (Export, Anchor, Verification)}
CONTRACT = "0x" + "ab" * 20
# What each kind of column is changed to, as little as it can be.
CHANGES = {
    models.BigAutoField: "{0} + 1000",
    models.BigIntegerField: "{0} + 1",
    models.CharField: "overlay({0} placing '~' from 2)",
    models.DateTimeField: "{0} + interval '1 microsecond'",
    models.BinaryField: "set_byte({0}, 31, get_byte({0}, 31) # 1)",
    models.JSONField: '\'[{{"part": "x", "place": "y", "message": "z", "is_tampering": false}}]\'',
}


@pytest.fixture
def registered():
    """A row of each table, logged and numbered."""
    write(3)
    sequence_all()
    export_log()
    anchor(3)
    verify_log(processes=1)
    sequence_all()
    assert check() == []


def anchor(tree_size):
    return record_anchor(
        chain_id=2**60, contract=CONTRACT, tx_hash=bytes(range(32)), tree_size=tree_size, root_hash=b"r" * 32
    )


def check():
    with as_role("psephos_app") as other:
        return [f"{found.part}: {found}" for found in check_registers(read_registers(other))]


def place_of(model):
    row = model.objects.get()
    return {
        Export: lambda: f"exports: export {row.name}",
        Anchor: lambda: "anchors: anchor of size 3",
        Verification: lambda: f"verifications: verification {row.pk}",
    }[model]()


def test_the_registers_are_the_models_that_vouch():
    assert {register.table for register in REGISTERS} == set(REGISTERED)


@pytest.mark.parametrize("model", REGISTERED.values())
def test_each_column_of_a_row(registered, model):
    table, place = model._meta.db_table, place_of(model)
    with as_role("postgres") as superuser:
        superuser.execute("SET session_replication_role = replica")
        for field in model._meta.concrete_fields:
            column = field.column
            for wrong in (CHANGES[type(field)], "'infinity'" if isinstance(field, models.DateTimeField) else None):
                if wrong is None:
                    continue
                superuser.execute(f"CREATE TEMPORARY TABLE before AS SELECT {column} AS value FROM {table}")
                superuser.execute(f"UPDATE {table} SET {column} = {wrong.format(column)}")
                [found] = check()
                assert found.startswith(f"{place}: {column}: is "), found
                assert ", was logged as " in found
                superuser.execute(f"UPDATE {table} SET {column} = before.value FROM before")
                superuser.execute("DROP TABLE before")
                assert check() == []


def test_a_changed_column_is_named_with_both_values(registered):
    tamper("UPDATE audit_anchor SET tx_hash = sha256('x')", "UPDATE audit_export SET created_at = 'epoch'")
    export = Export.objects.get()
    logged = Entry.objects.get(action="audit.log.exported").data["created_at"]
    report = verify_log(processes=1)
    found = [str(finding) for finding in report.findings if finding.is_tampering]
    assert found == [
        f'export {export.name}: created_at: is "1970-01-01T00:00:00.000000Z", was logged as "{logged}"',
        'anchor of size 3: tx_hash: is "0x2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",'
        f' was logged as "0x{bytes(range(32)).hex()}"',
    ]
    assert report.exit_code == 1


def test_rows_removed(registered):
    wanted = []
    for register, model in zip(REGISTERS, REGISTERED.values(), strict=True):
        seq = Entry.objects.get(action=register.action).leaf.seq
        wanted.append(f"{place_of(model)}: its row is gone, entry {seq} vouches for it")
    tamper(*(f"DELETE FROM {table}" for table in REGISTERED))
    assert check() == wanted


def test_rows_inserted(registered):
    for table, model in REGISTERED.items():
        columns = [field.column for field in model._meta.concrete_fields if field.column != "id"]
        values = [{"name": "name || '~'", "tree_size": "tree_size + 1"}.get(column, column) for column in columns]
        tamper(f"INSERT INTO {table} ({', '.join(columns)}) SELECT {', '.join(values)} FROM {table}")
    found = check()
    assert len(found) == 3
    for line, model in zip(found, REGISTERED.values(), strict=True):
        assert line.endswith(f": no entry of the log vouches for its row (id {model.objects.first().pk})")


def test_two_rows_for_one_entry(registered):
    row = Anchor.objects.get()
    try:
        tamper(
            "ALTER TABLE audit_anchor DROP CONSTRAINT audit_anchor_once",
            "INSERT INTO audit_anchor (created_at, chain_id, contract, tx_hash, tree_size, root_hash)"
            " SELECT created_at, chain_id, contract, tx_hash, tree_size, root_hash FROM audit_anchor",
        )
        assert check() == [
            f"anchors: anchor of size 3: no entry of the log vouches for its row (id {row.pk + 1})",
        ]
    finally:
        tamper(
            f"DELETE FROM audit_anchor WHERE id != {row.pk}",
            "ALTER TABLE audit_anchor ADD CONSTRAINT audit_anchor_once UNIQUE (chain_id, contract, tree_size)",
        )


def test_two_entries_for_one_row(registered):
    entry = Entry.objects.get(action="audit.log.anchored")
    record(action=entry.action, target=entry.target, data=entry.data | {"tx_hash": "0x"})
    assert check() == [
        f"anchors: anchor of size 3: is logged twice, by entry {entry.leaf.seq} and an entry without a number"
    ]


def test_an_entry_of_any_content_is_no_traceback(registered):
    for data in ({}, {"id": [1, {"x": 2**70}]}, {"id": 1.5, "tree_size": {"a": None}}):
        record(action="audit.log.anchored", target="anchor:x", data=data)
    with as_role("psephos_app") as app:
        app.execute(
            "INSERT INTO audit_entry (id, created_at, action, actor, target, data, request_id) VALUES"
            " (gen_random_uuid(), now(), 'audit.log.exported', 'a', '', %s, ''),"
            " (gen_random_uuid(), now(), 'audit.log.verified', 'a', '', '{\"id\": 1e999, \"tree_size\": 1e400}', '')",
            ['{"name": ' + "[" * 3000 + "]" * 3000 + "}"],
        )
    for _ in range(2):
        found = check()
        assert len(found) == 5
        assert all("its row is gone" in line for line in found)
        sequence_all()


def test_an_entry_counts_before_it_has_a_number():
    write(1)
    sequence_all()
    export_log()
    anchor(1)
    verify_log(processes=1)
    assert check() == []
    tamper("UPDATE audit_anchor SET chain_id = 1")
    assert check() == [f'anchors: anchor of size 1: chain_id: is 1, was logged as "{2**60}"']


def test_an_entry_edited_out_of_the_index_is_found_with_its_row(registered):
    seq = Entry.objects.get(action="audit.log.anchored").leaf.seq
    tamper("UPDATE audit_entry SET action = 'x' WHERE action = 'audit.log.anchored'", "DELETE FROM audit_anchor")
    report = verify_log(processes=1)
    assert [str(finding) for finding in report.findings] == [
        f'entry {seq}: action: is "x", was logged as "audit.log.anchored"',
        f"anchor of size 3: its row is gone, entry {seq} vouches for it",
    ]


def test_an_entry_edited_together_with_its_row_is_found_by_its_leaf(registered):
    seq = Entry.objects.get(action="audit.log.anchored").leaf.seq
    tamper(
        "UPDATE audit_anchor SET chain_id = 7",
        "UPDATE audit_entry SET data = jsonb_set(data, '{chain_id}', '7') WHERE action = 'audit.log.anchored'",
    )
    assert check() == [f'anchors: anchor of size 3: chain_id: is 7, was logged as "{2**60}"']
    report = verify_log(processes=1)
    assert f"entry {seq}: data: is " in "".join(map(str, report.findings))


def test_rows_and_entries_are_read_as_of_one_moment():
    written = []

    class Interrupting(psycopg.Cursor):
        def execute(self, query, *arguments, **options):
            if str(query).lstrip().startswith("SELECT"):
                anchor(len(written) + 1)
                written.append(query)
            return super().execute(query, *arguments, **options)

    with psycopg.connect(get_conninfo(), autocommit=True, cursor_factory=Interrupting) as other:
        registered = read_registers(other)
    assert list(check_registers(registered)) == []
    assert len(written) == 5
    assert check() == []


def test_no_false_alarm_beside_a_writer():
    stop = threading.Event()

    def run():
        size = 0
        while not stop.is_set():
            anchor(size := size + 1)
            sequence_all()
        connection.close()

    writer = threading.Thread(target=run)
    writer.start()
    try:
        while Anchor.objects.count() < 8:
            assert check() == []
    finally:
        stop.set()
        writer.join()


def test_entries_are_found_by_the_partial_index():
    with as_role("postgres") as superuser:
        superuser.execute("SET enable_seqscan = off")
        plan = "\n".join(line for (line,) in superuser.execute(f"EXPLAIN {LOGGED}"))
    assert "Index Scan" in plan
    assert "audit_entry_registers" in plan
    assert "Seq Scan" not in plan


def test_what_is_logged_passes_redaction_as_it_is(registered):
    for model in REGISTERED.values():
        row = model.objects.get()
        columns = {field.column: getattr(row, field.attname) for field in model._meta.concrete_fields}
        assert redact(spell_columns(columns), pepper=b"x") == spell_columns(columns)


NAMES, SIZES = st.sampled_from(["a", "b"]), st.integers(0, 1)
columns = st.fixed_dictionaries({"id": st.integers(0, 3), "name": NAMES, "size": SIZES})


@given(rows=st.lists(columns, max_size=4), logged=st.lists(columns, max_size=4))
def test_only_the_same_rows_and_entries_are_no_finding(rows, logged):
    entries = [Logged(seq, "export:x", one | {"more": 7}) for seq, one in enumerate(logged)]
    found = list(check_registers([Registered(REGISTERS[0], rows, entries)]))
    said, is_there = ([sorted(one.items()) for one in many] for many in (logged, rows))
    assert (found == []) == (sorted(said) == sorted(is_there))
