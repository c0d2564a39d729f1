"""The plans of the hot queries use their indexes, whatever the number of elections."""

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from elections import selectors, services
from elections.models import ChainHead, Election, Moment
from elections.services.heads import list_fact_finality_moved
from elections.tests import factories as make

pytestmark = pytest.mark.django_db
STATUSES = ("pending", "open", "closed", "tallied", "cancelled")


@pytest.fixture
def many_elections() -> None:
    """Write 8,000 elections, nearly all of them over."""
    make.head_at(1_000_000, safe=1_000_000, finalized=1_000_000)
    with connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO elections_election (public_id, chain_id, contract, election_id, metadata_hash, start_block,
                 end_block, options, status, finality, votes, turnout, is_cancelled, facts, created_block,
                 last_fact_block, is_withdrawn, revision, first_seen_at, updated_at)
               SELECT '31337-5fbdb231-' || n, 31337, %s, n, %s, n + 5,
                 n + 50, 2, (ARRAY['tallied', 'closed', 'cancelled', 'tallied'])[n %% 4 + 1], 'finalized', '{0,0}', 0,
                 false, '{}', n, n, false, n, now(), now()
               FROM generate_series(1, 8000) AS n""",
            (make.CONTRACT, b"\x11" * 32),
        )
        cursor.execute(
            "UPDATE elections_election SET status = 'open', end_block = end_block + 2000000 WHERE election_id % 10 = 0"
        )
        cursor.execute(
            "UPDATE elections_election SET status = 'pending', start_block = start_block + 2000000,"
            " end_block = end_block + 2000000 WHERE election_id % 10 = 1"
        )
        cursor.execute("INSERT INTO elections_moment (election_id, kind, block_number, announced_at) "
                       "SELECT id, 'created', created_block, now() FROM elections_election")  # fmt: skip
        cursor.execute("ANALYZE elections_election, elections_moment")


def plan_of(act, *, table: str = "elections_election", may_sort: bool = False) -> list[str]:
    """Explain the queries on a table that an action sends, and return what they scan."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        act()
    scans = []
    for query in captured.captured_queries:
        sql = query["sql"]
        if f'FROM "{table}"' not in sql and f'UPDATE "{table}"' not in sql:
            continue
        with connection.cursor() as cursor:
            cursor.execute("EXPLAIN " + sql)
            plan = "\n".join(row[0] for row in cursor.fetchall())
        assert f"Seq Scan on {table}" not in plan, f"{sql}\n{plan}"
        assert may_sort or not re.search(r"^\s*->\s+Sort", plan, re.MULTILINE), f"{sql}\n{plan}"
        scans += re.findall(r"(?:using|Index Scan on) (\w+)", plan)
    return scans


def test_lists_walk_an_index(many_elections: None) -> None:
    for ordering in selectors.ORDERING_CHOICES:
        column = "newest" if "created" in ordering else "end"
        page = selectors.list_elections(ordering=ordering, limit=10)
        deep = selectors.list_elections(ordering=ordering, limit=10, cursor=page.next_cursor)
        assert deep.elections
        for cursor in ("", page.next_cursor, deep.previous_cursor):
            scans = plan_of(lambda: selectors.list_elections(ordering=ordering, limit=10, cursor=cursor))  # noqa: B023
            assert scans == [f"election_{column}"], (ordering, cursor)
        for status in STATUSES:
            scans = plan_of(lambda: selectors.list_elections(status=status, ordering=ordering, limit=10))  # noqa: B023
            # Of a status that most have, the index of all is as good.
            assert scans in ([f"election_status_{column}"], [f"election_{column}"]), (ordering, status)


def test_one_election_is_found_by_its_unique_index(many_elections: None) -> None:
    scans = plan_of(lambda: selectors.get_election(public_id="31337-5fbdb231-77"), may_sort=True)
    assert len(scans) == 1
    assert "public_id" in scans[0]


def test_what_was_missed_and_the_newest_revision_walk_the_index_of_revisions(many_elections: None) -> None:
    assert plan_of(lambda: selectors.list_changed(since_revision=7_900, limit=50)) == ["election_revision"]
    assert plan_of(selectors.get_revision) == ["election_revision"]


def test_a_head_that_changes_nothing_reads_no_table_through(many_elections: None) -> None:
    scans = plan_of(lambda: make.head_at(1_000_001, safe=1_000_001, finalized=1_000_001))
    assert {"election_to_open", "election_to_close", "election_unfinalized"} & set(scans)


def test_the_elections_of_events_are_found_by_the_unique_constraint(many_elections: None) -> None:
    services.apply_events(events=[make.created(90_007), make.created(90_009)])
    scans = plan_of(lambda: services.apply_events(events=[make.vote(90_007), make.vote(90_009)]), may_sort=True)
    assert scans[0] == "election_on_chain_once"


def test_facts_whose_finality_moved_are_sought_among_the_unfinalized(many_elections: None) -> None:
    before = ChainHead.objects.get()
    after = ChainHead(chain_id=before.chain_id, safe_block=2_000_000, finalized_block=1_500_000)
    assert plan_of(lambda: list_fact_finality_moved(before, after)) == ["election_unfinalized"]


def test_moments_that_are_due_are_found_by_their_index(many_elections: None) -> None:
    scans = plan_of(lambda: make.head_at(1_000_002), table="elections_moment")
    assert scans
    assert scans[0] == "moment_due"
    assert Moment.objects.count() == Election.objects.count()
