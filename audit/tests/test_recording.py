import uuid
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal

import pytest
import time_machine
from django.db import DataError, InternalError, OperationalError, ProgrammingError, connection, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audit.context import auditing
from audit.models import Entry
from audit.services import record


def fail_after_recording():
    record(action="tests.thing.lost")
    raise ZeroDivisionError


@pytest.mark.django_db(transaction=True)
def test_an_entry_lives_and_dies_with_its_transaction():
    with auditing(request_id="request-1", actor="user:7") as context:
        with transaction.atomic():
            kept = record(action="tests.thing.changed", target="thing:1", data={"to": 2})
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            fail_after_recording()
    [entry] = Entry.objects.all()
    assert (entry.pk, entry.actor, entry.target) == (kept, "user:7", "thing:1")
    assert (entry.data, entry.request_id) == ({"to": 2}, "request-1")
    assert entry.transaction > 0
    assert context.receipts == [str(kept)]


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_savepoint_leaves_no_receipt():
    with auditing() as context, transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            fail_after_recording()
        kept = record(action="tests.thing.kept")
    assert context.receipts == [str(kept)]


@pytest.mark.django_db
def test_entries_of_one_transaction_sort_in_their_order():
    made = [record(action=f"tests.step.{number}") for number in range(50)]
    assert made == sorted(made)
    assert {pk.version for pk in made} == {7}


@pytest.mark.django_db
def test_what_is_recorded_becomes_canonical_types():
    id_ = record(
        action="tests.types",
        data={
            "big": 2**53,
            "float": 0.5,
            "decimal": Decimal("1.10"),
            "id": uuid.UUID(int=1),
            "at": datetime(2026, 1, 2, tzinfo=UTC),
            "bytes": b"\x01\xff",
            "text": "a\0b\ud800",
            1: {"nested": (1, 2)},
        },
    )
    assert Entry.objects.get(pk=id_).data == {
        "big": "9007199254740992",
        "float": "0.5",
        "decimal": "1.10",
        "id": "00000000-0000-0000-0000-000000000001",
        "at": "2026-01-02T00:00:00+00:00",
        "bytes": "0x01ff",
        "text": "a\ufffdb?",
        "1": {"nested": [1, 2]},
    }


@pytest.mark.django_db
def test_data_too_large_for_the_tree_is_replaced_by_its_digest():
    entry = Entry.objects.get(pk=record(action="tests.large", data={"text": "x" * 60_000}))
    assert entry.data["omitted"]["bytes"] > 60_000
    assert len(entry.data["omitted"]["sha256"]) == 64


@pytest.mark.django_db(transaction=True)
def test_the_statement_is_parsed_once_a_connection_and_counted_as_djangos_are(django_assert_num_queries):
    with django_assert_num_queries(1) as seen:
        record(action="tests.thing.changed", target="thing:4")
    assert "thing:4" in seen[0]["sql"]
    with transaction.atomic(), connection.cursor() as cursor:
        for number in range(5):
            record(action="tests.thing.changed", target=f"thing:{number}")
        cursor.execute(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%INTO audit_entry%' AND from_sql = false"
            " AND statement LIKE '%$1, $2%'"
        )
        assert cursor.fetchone() == (1,)
    assert Entry.objects.count() == 6


def is_first(**values):
    record(**values)


def is_later(**values):
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    record(**values)


def is_logged(**values):
    with CaptureQueriesContext(connection):
        record(**values)


WAYS = [is_first, is_later, is_logged]
VALUES = {
    "action": "tests.ünï.\u2028\x7f",
    "actor": "user:'\"\\\\x00\n",
    "target": "thing:{%s}$1",
    "data": {"ключ": ["𝔘", {"a": None}], "n": -(2**53) + 1},
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_atomic", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_every_way_writes_the_same(way, is_atomic):
    before = timezone.now()
    with auditing(request_id="request-1"), transaction.atomic() if is_atomic else nullcontext():
        way(**VALUES)
    [entry] = Entry.objects.all()
    assert {name: getattr(entry, name) for name in VALUES} == VALUES
    assert entry.request_id == "request-1"
    assert before <= entry.created_at <= timezone.now()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "moment",
    ["1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999999Z", "2000-01-01T02:00:00.000001+02:00", "9998-12-31T23:59:59Z"],
)
def test_the_moment_is_kept_to_the_microsecond(moment):
    with time_machine.travel(datetime.fromisoformat(moment), tick=False):
        is_later(action="tests.thing.changed")
    assert Entry.objects.get().created_at == datetime.fromisoformat(moment)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", WAYS)
def test_an_entry_that_the_database_refuses_breaks_the_transaction_as_usual(way):
    with pytest.raises(DataError), transaction.atomic():
        way(action="tests.\0")
    assert not Entry.objects.exists()
    way(action="tests.thing.changed")
    assert Entry.objects.get().action == "tests.thing.changed"


@pytest.mark.django_db(transaction=True)
def test_the_statement_outlives_rollbacks_and_dropped_tables():
    with connection.cursor() as cursor:
        for number in range(8):
            cursor.execute("CREATE TABLE IF NOT EXISTS tests_gone (id int)")
            with transaction.atomic():
                record(action=f"tests.kept.{number}")
                with pytest.raises(ZeroDivisionError), transaction.atomic():
                    fail_after_recording()
                record(action=f"tests.kept.{number}")
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                fail_after_recording()
            cursor.execute("DROP TABLE tests_gone")
    assert Entry.objects.filter(action__startswith="tests.kept.").count() == Entry.objects.count() == 16


@transaction.atomic
def record_after_an_error():
    with connection.cursor() as cursor, pytest.raises(ProgrammingError):
        cursor.execute("SELECT nothing")
    record(action="tests.thing.changed")


@transaction.atomic
def record_after_the_server_went():
    is_later(action="tests.first")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    other.close()
    record(action="tests.lost")


@pytest.mark.django_db(transaction=True)
def test_a_broken_transaction_takes_no_entry():
    with pytest.raises(InternalError, match="aborted"):
        record_after_an_error()
    assert not Entry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_lost_connection_is_an_operational_error_and_the_next_transaction_works():
    with pytest.raises(OperationalError):
        record_after_the_server_went()
    connection.close()
    record(action="tests.next")
    assert [entry.action for entry in Entry.objects.all()] == ["tests.next"]


@transaction.atomic
def record_after_a_failure_without_savepoint(way):
    with pytest.raises(ZeroDivisionError), transaction.atomic(savepoint=False):
        raise ZeroDivisionError
    way(action="tests.lost")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("way", WAYS)
def test_a_transaction_that_can_only_be_rolled_back_takes_no_entry(way):
    with pytest.raises(TransactionManagementError):
        record_after_a_failure_without_savepoint(way)
    assert not Entry.objects.exists()
