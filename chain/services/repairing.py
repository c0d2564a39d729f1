"""Reads ranges again and mends what differs; replays logs that did not decode."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from audit.services import record
from chain.exceptions import RangeNeverCovered, ReorgPending, TooMuchData
from chain.models import Block, Checkpoint, Contract, DeadLetter, EventLog
from chain.reading import Header, RangeAnswer, Reader
from chain.selectors import events_by_election, list_contracts, list_window
from chain.services.coverage import cover, covered, gaps
from chain.services.decoding import DecodedLogs, decode_logs, read_contexts
from chain.services.indexing import MAX_CHECKED_RANGE_BLOCKS
from chain.services.writing import insert, write_blocks
from elections.services import Changes, publish_changes, refold

Place = tuple[int, str, int]


@dataclass
class Repair:
    """What a reindex changed, or would change: places as (block number, block hash, log index)."""

    read: int = 0
    missing: list[Place] = field(default_factory=list)
    surplus: list[Place] = field(default_factory=list)
    differing: list[Place] = field(default_factory=list)
    elections: set[int] = field(default_factory=set)

    @property
    def count(self) -> int:
        return len(self.missing) + len(self.surplus) + len(self.differing)


def reindex(
    *, reader: Reader, chain_id: int, low: int, high: int, is_dry_run: bool = False, step: int = 500
) -> dict[str, Repair]:
    """Read a range again and mend the rows that differ from the chain; returns a report for each contract.

    Raises RangeNeverCovered, naming the part, when some of the range was never indexed: a gap is filled by the
    indexer itself; ReorgPending when the node's chain is not the indexed one there. Each stretch is one transaction,
    which also moves the checkpoint's nonce.
    """
    contracts = list_contracts(chain_id)
    if not contracts or low > high:
        raise RangeNeverCovered(f"nothing is indexed of blocks {low} to {high}")
    for contract in contracts:
        never = gaps(covered(contract), max(low, contract.deployment_block), high)
        if never:
            parts = ", ".join(f"{start}–{end}" for start, end in never)
            raise RangeNeverCovered(
                f"blocks {parts} of {contract} were never indexed: `manage.py index_chain` fills gaps"
            )
    reports: dict[str, Repair] = {}
    for contract in contracts:
        report = reports[str(contract)] = Repair()
        position, size = low, min(step, MAX_CHECKED_RANGE_BLOCKS)
        while position <= high:
            end = min(high, position + size - 1)
            try:
                mend(reader=reader, contract=contract, low=position, high=end, report=report, is_dry_run=is_dry_run)
            except TooMuchData:
                if size == 1:
                    raise
                size = max(1, size // 2)
                continue
            position = end + 1
    return reports


def mend(*, reader: Reader, contract: Contract, low: int, high: int, report: Repair, is_dry_run: bool) -> None:
    """Compare one stretch of one contract with the chain, and write the difference."""
    answer = reader.range_logs([contract.address], low, high)
    by_address = {contract.address: contract}
    contexts = read_contexts(reader=reader, contracts=by_address, logs=answer.logs)
    found = {(log["blockNumber"], log["blockHash"], log["logIndex"]): log for log in answer.logs}
    hashes = read_hashes(reader=reader, contract=contract, answer=answer)
    with transaction.atomic():
        # The indexer's next write finds another nonce and looks at the rows afresh.
        checkpoint = Checkpoint.objects.select_for_update().get(pk=contract.chain_id)
        refuse_pending_reorg(contract=contract, low=low, high=high, hashes=hashes)
        report.read += len(found)
        stored = {
            (row.block_number, "0x" + bytes(row.block_hash).hex(), row.log_index): row
            for row in EventLog.objects.canonical().filter(
                contract=contract, block_number__gte=low, block_number__lte=high
            )
        }
        dead = {
            (letter.block_number, "0x" + bytes(letter.block_hash).hex(), letter.log_index)
            for letter in DeadLetter.objects.filter(
                contract=contract, block_number__gte=low, block_number__lte=high, retracted_at=None, replayed_at=None
            )
        }
        missing = [place for place in found if place not in stored and place not in dead]
        surplus = [place for place in stored if place not in found]
        differing = [place for place, row in stored.items() if place in found and not is_equal(row, found[place])]
        report.missing += missing
        report.surplus += surplus
        report.differing += differing
        concerned = [stored[place].election_id for place in surplus + differing]
        touched = {int(election_id) for election_id in concerned if election_id is not None}
        decoded = decode_logs(
            contracts=by_address,
            logs=[found[place] for place in sorted(missing + differing)],
            headers=answer.headers,
            contexts=contexts,
        )
        touched |= {event.election_id for event in decoded.events}
        report.elections |= touched
        if is_dry_run or not (missing or surplus or differing):
            return
        write_repair(contract, answer.headers, stored, surplus, differing, decoded)
        cover(contract_ids=[contract.pk], low=low, high=high)
        checkpoint.nonce += 1
        checkpoint.save(update_fields=["nonce"])
        changes = refold(
            chain_id=contract.chain_id,
            contract=contract.address,
            events_by_election=events_by_election(contract=contract, election_ids=sorted(touched)),
        )
        record(
            action="chain.range.reindexed",
            target=f"contract:{contract.chain_id}/{contract.address}",
            data={
                "from": low,
                "to": high,
                "missing": len(missing),
                "surplus": len(surplus),
                "differing": len(differing),
            },
        )
    publish_changes(Changes(changes.items, is_reorg=bool(surplus)))


def read_hashes(*, reader: Reader, contract: Contract, answer: RangeAnswer) -> dict[int, str]:
    """Return the node's hash of every block of a range that has logs, or is stored."""
    hashes = {number: header.hash for number, header in answer.headers.items()} | {answer.to_block: answer.end.hash}
    others = [
        block.number
        for block in list_window(chain_id=contract.chain_id, from_block=answer.from_block, to_block=answer.to_block)
        if block.number not in hashes
    ]
    if others:
        hashes |= {header.number: header.hash for header in reader.headers(others)}
    return hashes


def refuse_pending_reorg(*, contract: Contract, low: int, high: int, hashes: Mapping[int, str]) -> None:
    """Raise ReorgPending when a stored block is another than the node had when its logs were read.

    Rows and chain would differ in whole blocks then: to mend them one by one would mix two chains.
    """
    for block in list_window(chain_id=contract.chain_id, from_block=low, to_block=high):
        if hashes.get(block.number) != "0x" + bytes(block.hash).hex():
            raise ReorgPending(
                f"the node's block {block.number} is not the indexed one: let `manage.py index_chain` follow the reorg"
            )
    taken_back = gaps(covered(contract), max(low, contract.deployment_block), high)
    if taken_back:
        raise ReorgPending(f"a reorg took back blocks from {taken_back[0][0]} on: let `manage.py index_chain` go on")


def write_repair(
    contract: Contract,
    headers: Mapping[int, Header],
    stored: Mapping[Place, EventLog],
    surplus: Sequence[Place],
    differing: Sequence[Place],
    decoded: DecodedLogs,
) -> None:
    write_blocks(chain_id=contract.chain_id, headers=headers)
    for place in surplus:
        EventLog.objects.filter(pk=stored[place].pk).update(retracted_at=timezone.now())
    for place in differing:
        # Its bytes are not what the chain says: the row is no record of anything.
        EventLog.objects.filter(pk=stored[place].pk).delete()
    write_rows(decoded)
    DeadLetter.objects.bulk_create(
        decoded.dead,
        update_conflicts=True,
        unique_fields=["contract", "block_hash", "log_index"],
        update_fields=["retracted_at"],
    )


def write_rows(decoded: DecodedLogs) -> None:
    with connection.cursor() as cursor:
        for start in range(0, len(decoded.rows), 500):
            insert(cursor, decoded.rows[start : start + 500])


def is_equal(row: EventLog, log: Mapping[str, Any]) -> bool:
    return (
        bytes(row.data).hex() == log["data"][2:]
        and bytes(row.topics).hex() == "".join(topic[2:] for topic in log["topics"])
        and bytes(row.tx_hash).hex() == log["transactionHash"][2:]
    )


def replay_dead_letters(*, chain_id: int, reader: Reader) -> tuple[int, int]:
    """Decode dead letters again with today's ABIs; return how many were understood and how many were not."""
    replayed = failed = 0
    for contract in Contract.objects.filter(chain_id=chain_id):
        letters = {letter.pk: log_of(letter, contract) for letter in open_letters(contract)}
        # What the contract's state has to say is asked before the transaction.
        contexts = read_contexts(reader=reader, contracts={contract.address: contract}, logs=list(letters.values()))
        with transaction.atomic():
            checkpoint = Checkpoint.objects.select_for_update().get(pk=chain_id)
            # Read again: the indexer may have followed a reorg in the meantime, or somebody else has replayed.
            logs = {letter.pk: letters[letter.pk] for letter in open_letters(contract) if letter.pk in letters}
            decoded = decode_logs(
                contracts={contract.address: contract},
                logs=list(logs.values()),
                headers=stored_headers(contract, logs.values()),
                contexts=contexts,
            )
            dead = {(letter.block_number, letter.log_index) for letter in decoded.dead}
            understood = [pk for pk, log in logs.items() if (log["blockNumber"], log["logIndex"]) not in dead]
            failed += len(dead)
            if not understood:
                continue
            write_rows(decoded)
            DeadLetter.objects.filter(pk__in=understood).update(replayed_at=timezone.now())
            touched = sorted({event.election_id for event in decoded.events})
            changes = refold(
                chain_id=chain_id,
                contract=contract.address,
                events_by_election=events_by_election(contract=contract, election_ids=touched),
            )
            checkpoint.nonce += 1
            checkpoint.save(update_fields=["nonce"])
            record(
                action="chain.dead_letters.replayed",
                target=f"contract:{chain_id}/{contract.address}",
                data={"count": len(understood)},
            )
        replayed += len(understood)
        publish_changes(Changes(changes.items, is_reorg=False))
    return replayed, failed


def open_letters(contract: Contract) -> QuerySet[DeadLetter]:
    """Return the logs of the indexed chain that nobody has understood yet."""
    letters = DeadLetter.objects.filter(contract=contract, replayed_at=None, retracted_at=None)
    return letters.order_by("block_number", "log_index")


def stored_headers(contract: Contract, logs: Iterable[Mapping[str, Any]]) -> dict[int, Header]:
    """Return the stored headers of some logs' blocks."""
    blocks = Block.objects.canonical().filter(
        chain_id=contract.chain_id, number__in={log["blockNumber"] for log in logs}
    )
    return {
        block.number: Header(
            block.number, "0x" + bytes(block.hash).hex(), "0x" + bytes(block.parent_hash).hex(), block.timestamp, 0
        )
        for block in blocks
    }


def log_of(letter: DeadLetter, contract: Contract) -> dict[str, Any]:
    """Give a dead letter the shape of a checked log again."""
    topics = bytes(letter.topics).hex()
    return {
        "address": contract.address,
        "blockNumber": letter.block_number,
        "blockHash": "0x" + bytes(letter.block_hash).hex(),
        "logIndex": letter.log_index,
        "transactionHash": "0x" + bytes(letter.tx_hash).hex(),
        "transactionIndex": letter.tx_index,
        "topics": ["0x" + topics[start : start + 64] for start in range(0, len(topics), 64)],
        "data": "0x" + bytes(letter.data).hex(),
    }
