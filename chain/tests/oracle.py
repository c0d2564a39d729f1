"""The oracle of every fault run: a fresh index from the deployment block equals the survivor, row for row."""

from collections.abc import Callable
from typing import Any

from django.db import connection

# Table → columns that two indexes of one chain must agree on. Block rows of the window and estimates of times depend on
# when the indexer looked.
COMPARED = {
    "chain_eventlog": (
        "contract_id, block_number, block_hash, log_index, tx_hash, tx_index, topics, data, event, election_id, "
        "context::text",
        "retracted_at IS NULL",
    ),
    "chain_coverage": ("contract_id, from_block, to_block", "TRUE"),
    "chain_checkpoint": ("chain_id, block_number, block_hash, block_timestamp, finalized_block", "TRUE"),
    "chain_deadletter": (
        "contract_id, block_number, block_hash, log_index, topics, data, reason",
        "retracted_at IS NULL",
    ),
    "elections_election": (
        "public_id, chain_id, contract, election_id, metadata_hash, start_block, end_block, options, census_root, "
        "verifier, status, finality, votes, totals, turnout, is_cancelled, facts::text, created_block, last_fact_block",
        "NOT is_withdrawn",
    ),
    "elections_chainhead": ("chain_id, number, hash, timestamp, safe_block, finalized_block", "TRUE"),
}
BLOCKS = (
    "SELECT number, hash, parent_hash, timestamp FROM chain_block WHERE retracted_at IS NULL AND EXISTS (SELECT 1 FROM "
    "chain_eventlog AS log WHERE log.block_hash = chain_block.hash AND log.retracted_at IS NULL)"
)


def keep(cursor: Any) -> None:
    """Set the survivor's rows aside."""
    cursor.execute("DROP SCHEMA IF EXISTS survivor CASCADE")
    cursor.execute("CREATE SCHEMA survivor")
    for table, (columns, condition) in COMPARED.items():
        cursor.execute(f"CREATE TABLE survivor.{table} AS SELECT {columns} FROM {table} WHERE {condition}")
    cursor.execute(f"CREATE TABLE survivor.chain_block AS {BLOCKS}")


def forget(cursor: Any) -> None:
    """Empty the index, but for the contracts, whose keys the rows carry."""
    cursor.execute(
        "TRUNCATE chain_eventlog, chain_block, chain_coverage, chain_checkpoint, chain_deadletter, elections_election, "
        "elections_chainhead CASCADE"
    )


def assert_equals_fresh_index(index_afresh: Callable[[], Any]) -> None:
    """Index again from nothing and compare by EXCEPT, both ways."""
    with connection.cursor() as cursor:
        keep(cursor)
        forget(cursor)
        index_afresh()
        differences: dict[str, list[Any]] = {}
        for table, (columns, condition) in COMPARED.items():
            fresh = f"SELECT {columns} FROM {table} WHERE {condition}"
            compare(cursor, table, fresh, differences)
        compare(cursor, "chain_block", BLOCKS, differences)
        cursor.execute("DROP SCHEMA survivor CASCADE")
        assert differences == {}, differences


def compare(cursor: Any, table: str, fresh: str, differences: dict[str, list[Any]]) -> None:
    survivor = f"SELECT * FROM survivor.{table}"
    for name, left, right in ((f"{table}: survivor has", survivor, fresh), (f"{table}: fresh has", fresh, survivor)):
        cursor.execute(f"({left}) EXCEPT ALL ({right})")
        rows = [
            tuple(bytes(v).hex() if isinstance(v, memoryview | bytes) else v for v in row) for row in cursor.fetchall()
        ]
        if rows:
            differences[name] = rows
