import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.db import DataError, connection, transaction
from psycopg.types.json import Jsonb

from audit.context import auditing
from audit.models import Entry
from audit.services import record
from audit.services.recording import insert


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
    assert (entry.pk, entry.actor, entry.target) == (kept.pk, "user:7", "thing:1")
    assert (entry.data, entry.request_id) == ({"to": 2}, "request-1")
    assert entry.transaction > 0
    assert context.receipts == [str(kept.pk)]


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_savepoint_leaves_no_receipt():
    with auditing() as context, transaction.atomic():
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            fail_after_recording()
        kept = record(action="tests.thing.kept")
    assert context.receipts == [str(kept.pk)]


@pytest.mark.django_db
def test_entries_of_one_transaction_sort_in_their_order():
    made = [record(action=f"tests.step.{number}").pk for number in range(50)]
    assert made == sorted(made)
    assert {pk.version for pk in made} == {7}


@pytest.mark.django_db
def test_what_is_recorded_becomes_canonical_types():
    entry = record(
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
    entry.refresh_from_db()
    assert entry.data == {
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
    entry = record(action="tests.large", data={"text": "x" * 60_000})
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
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%INTO audit_entry%'")
        assert cursor.fetchone() == (1,)


@pytest.mark.django_db(transaction=True)
def test_an_entry_that_the_database_refuses_breaks_the_transaction_as_usual():
    with pytest.raises(DataError), transaction.atomic():
        insert(*[None] * 2, "x" * 101, "a", "", Jsonb({}), "")
    assert record(action="tests.thing.changed").pk == Entry.objects.get().pk
