"""What somebody with a role's password writes into the log neither stops it nor gets signed."""

import threading

import psycopg
import pytest

from audit.exceptions import SequencerHalted
from audit.models import Checkpoint, Leaf
from audit.services import export_log, make_sequencer, record, sequence_all, verify_log
from audit.services.sequencing import APPLICATION_NAME, LEADER_LOCK, load_log
from audit.tests.factories import wait_for
from audit.tests.roles import INSERT, LEAF, as_role, conninfo

POISON = [
    "1e400", "-1e400", "-0", "-0.0", "1E-400", "18446744073709551616", "[9007199254740993, 0.5]", '{"a": 1, "a": 2}',
    '{"\\ue000": 1, "\\ud83d\\ude00": 2, "": 3}', "[" * 260 + "]" * 260, "[" * 990 + "]" * 990, "[" * 3000 + "]" * 3000,
    '"' + "x" * 300_000 + '"', "[0.1, 1e21, 123456789.123456789]", '"\\u007f\\u2028"', "null", "[]",
]  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_no_row_that_the_application_can_write_stops_the_log_or_its_verification():
    with as_role("psephos_app") as app:
        values = "VALUES (gen_random_uuid(), now(), %s, 'a', '', %s, '')"
        for text in POISON:
            app.execute(f"{INSERT}) {values}", ["tests.poison", text])
        for moment in ("infinity", "-infinity", "20000-01-01", "0001-01-01 BC", "1969-12-31"):
            with pytest.raises(psycopg.errors.CheckViolation):
                app.execute(f"{INSERT}) {values}".replace("now()", f"'{moment}'"), ["tests.poison", "{}"])
        app.execute(f"{INSERT}) {values}".replace("now()", "'1970-01-01'"), ['"},{[\x7f\u2028', "{}"])
        app.execute(f"{INSERT}) {values}".replace("now()", "'9998-12-31 23:59:59.999999+00'"), ["\\N", "{}"])
        columns = "id, created_at, action, actor, target, data, request_id"
        with app.cursor() as cursor, cursor.copy(f"COPY audit_entry ({columns}) FROM STDIN") as copy:
            copy.write_row(["00000000-0000-0000-0000-000000000000", "2026-01-01", "tests.copied", "a", "", "{}", ""])
        app.execute(f"WITH made AS ({INSERT}) {values} RETURNING id) SELECT * FROM made", ["tests.cte", "{}"])
    assert sequence_all() == len(POISON) + 4
    report = verify_log(processes=1)
    assert report.findings == []
    export_log()
    assert verify_log(processes=1).findings == []


@pytest.mark.django_db(transaction=True)
def test_an_entry_that_somebody_else_numbers_is_never_signed():
    record(action="tests.kept")
    sequence_all()
    record(action="tests.hidden")
    with as_role("psephos_sequencer") as thief:
        with pytest.raises(psycopg.errors.CheckViolation):
            thief.execute(LEAF.format(-1))
        thief.execute(LEAF.format(1))
    with pytest.raises(SequencerHalted, match="the leaf 1, which nobody signed yet, is not that of its entry"):
        sequence_all()
    assert Checkpoint.objects.get().tree_size == 1
    report = verify_log(processes=1)
    assert "neither" in str(report.findings[0]) or "entry 1" in report.findings[0].place


@pytest.mark.django_db(transaction=True)
def test_a_number_taken_under_the_leaders_hands_halts_it():
    record(action="tests.kept")
    sequencer = make_sequencer()
    with sequencer.connect() as connection:
        log = load_log(connection)
        record(action="tests.hidden")
        with as_role("psephos_sequencer") as thief:
            thief.execute(LEAF.format(0))
        with pytest.raises(SequencerHalted, match="somebody else numbered entries"):
            sequencer.sequence_batch(connection, log)
    assert Checkpoint.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_lead_that_no_sequencer_holds_is_an_error_in_the_log(caplog):
    stop = threading.Event()
    sequencer = make_sequencer(conninfo=conninfo("psephos_sequencer"), poll_seconds=0.05)
    with as_role("psephos_app") as app:
        app.execute(f"SET application_name = '{APPLICATION_NAME}'")
        app.execute("SELECT pg_advisory_lock(%s)", [LEADER_LOCK])
        thread = threading.Thread(target=sequencer.run, args=[stop])
        thread.start()
        record(action="tests.kept")
        wait_for(lambda: any("of psephos_app" in item.getMessage() for item in caplog.records))
        assert [item.levelname for item in caplog.records if "of psephos_app" in item.getMessage()] == ["ERROR"]
        assert Leaf.objects.count() == 0
    wait_for(lambda: Leaf.objects.count() == 1)
    stop.set()
    thread.join(20)
