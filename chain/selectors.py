"""Reads of what is kept of a chain."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson
from django.db import connection
from django.db.models import Count
from django.utils import timezone

from chain.models import Block, Checkpoint, Contract, EventLog, Transaction
from chain.profiles import profiles
from elections.events import Event, Origin
from elections.models import ChainHead, Election

# The indexer notes every few seconds that a node answers.
SILENT_SECONDS = 20


def get_checkpoint(chain_id: int) -> Checkpoint | None:
    """Return how far a chain is indexed."""
    return Checkpoint.objects.filter(pk=chain_id).first()


def lock_transaction(row: Transaction) -> None:
    """Read a transaction afresh and hold it: another worker may be about it too."""
    row.refresh_from_db(from_queryset=Transaction.objects.select_for_update())


def list_contracts(chain_id: int) -> list[Contract]:
    """Return the contracts that are indexed on a chain."""
    return list(Contract.objects.filter(chain_id=chain_id, is_active=True).order_by("pk"))


def list_window(*, chain_id: int, from_block: int, to_block: int | None = None) -> list[Block]:
    """Return the stored canonical blocks from a height on, in order."""
    blocks = Block.objects.canonical().filter(chain_id=chain_id, number__gte=from_block)
    if to_block is not None:
        blocks = blocks.filter(number__lte=to_block)
    return list(blocks.order_by("number"))


@dataclass(frozen=True, slots=True)
class NextEnd:
    """The open election that ends next, and the chain's pace in seconds a block."""

    public_id: str
    end_block: int
    block_seconds: float | None


def get_next_end(*, chain_id: int, block_number: int) -> NextEnd | None:
    """Return the election that is open at a height and ends first, or None."""
    found = (
        Election.objects.visible()
        .filter(chain_id=chain_id, is_cancelled=False, totals=None)
        .filter(start_block__lte=block_number, end_block__gt=block_number)
        .order_by("end_block", "pk")
        .values_list("public_id", "end_block")
        .first()
    )
    if found is None:
        return None
    pace = ChainHead.objects.filter(pk=chain_id).values_list("block_seconds", flat=True).first()
    return NextEnd(found[0], int(found[1]), pace)


def get_ends(public_ids: Iterable[str]) -> dict[str, int | None]:
    """Return the end block of each of these elections; None for one that is cancelled."""
    rows = Election.objects.visible().filter(public_id__in=list(public_ids))
    found = rows.values_list("public_id", "end_block", "is_cancelled")
    return {public_id: None if is_cancelled else int(end) for public_id, end, is_cancelled in found}


def is_transaction_stored(
    *, contracts: Iterable[Contract], tx_hashes: list[bytes], from_block: int, to_block: int
) -> bool:
    """Tell whether a canonical log of a range of blocks came from one of these transactions."""
    logs = EventLog.objects.canonical().filter(
        contract__in=list(contracts), block_number__gte=from_block, block_number__lte=to_block
    )
    return logs.filter(tx_hash__in=tx_hashes).exists()


def touched_elections(*, contract: Contract, from_block: int, to_block: int | None = None) -> list[int]:
    """Return the ids of the elections that canonical logs of a range concern."""
    logs = EventLog.objects.canonical().filter(contract=contract, block_number__gte=from_block)
    if to_block is not None:
        logs = logs.filter(block_number__lte=to_block)
    found = logs.exclude(election_id=None).values_list("election_id", flat=True).distinct()
    return sorted(int(election_id) for election_id in found if election_id is not None)


def events_by_election(*, contract: Contract, election_ids: Iterable[int]) -> dict[int, list[Event]]:
    """Decode again every canonical log of some elections, in chain order."""
    wanted = list(election_ids)
    result: dict[int, list[Event]] = {election_id: [] for election_id in wanted}
    if not wanted:
        return result
    for election_id, event in stored_events(contract=contract, election_ids=wanted):
        result[election_id].append(event)
    return result


def stored_events(*, contract: Contract, election_ids: list[int] | None = None) -> Iterable[tuple[int, Event]]:
    """Yield (election id, event) from the canonical logs of a contract, in chain order."""
    profile = profiles()[contract.profile]
    condition = "" if election_ids is None else "AND log.election_id = ANY(%s::numeric[])"
    parameters: list[Any] = [contract.pk] + ([] if election_ids is None else [election_ids])
    by_name = {decoder.name: decoder for decoder in profile.decoders.values()}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT log.block_number, log.block_hash, log.log_index, log.tx_hash, encode(log.topics, 'hex'), "  # noqa: S608
            "encode(log.data, 'hex'), log.event, log.context::text, block.timestamp FROM chain_eventlog AS log "
            "JOIN chain_block AS block ON block.chain_id = %s AND block.number = log.block_number "
            "AND block.hash = log.block_hash WHERE log.contract_id = %s AND log.retracted_at IS NULL "
            f"AND log.election_id IS NOT NULL {condition} ORDER BY log.block_number, log.log_index",
            [contract.chain_id, *parameters],
        )
        while rows := cursor.fetchmany(20_000):
            for number, block_hash, index, tx_hash, topics, data, name, context, timestamp in rows:
                words = ["0x" + topics[start : start + 64] for start in range(0, len(topics), 64)]
                arguments = by_name[name].decode(words, "0x" + data)
                origin = Origin(
                    contract.chain_id, contract.address, number, bytes(block_hash), timestamp, bytes(tx_hash), index
                )
                event = profile.event(name, origin, arguments, parse_context(context))
                if event is not None:
                    yield int(arguments[profile.id_positions[name]]), event


def parse_context(text: str | None) -> dict[str, Any] | None:
    return None if text is None else orjson.loads(text)


def count_by_event(contracts: Iterable[Contract]) -> dict[int, dict[str, int]]:
    """Count canonical logs by contract and event."""
    result: dict[int, dict[str, int]] = defaultdict(dict)
    rows = EventLog.objects.canonical().filter(contract__in=list(contracts)).values_list("contract_id", "event")
    for contract_id, name, count in rows.annotate(count=Count("log_index")).order_by("contract_id", "event"):
        result[contract_id][name] = count
    return result


@dataclass(frozen=True, slots=True)
class ChainHealth:
    """Whether the index follows its chain; `code` is stable, `detail` is for people."""

    is_up: bool
    code: str
    detail: str
    lag_blocks: int | None = None


def get_chain_health(chain_id: int) -> ChainHealth:
    """Judge the index by its checkpoint alone: no node is asked."""
    checkpoint = get_checkpoint(chain_id)
    if checkpoint is None:
        return ChainHealth(False, "never_indexed", "Nothing was indexed yet.")
    lag = max(0, checkpoint.node_head - checkpoint.block_number)
    if checkpoint.halted_at is not None:
        return ChainHealth(False, f"halted_{checkpoint.halt_code}", checkpoint.halt_reason, lag)
    silence = None if checkpoint.seen_at is None else (timezone.now() - checkpoint.seen_at).total_seconds()
    if silence is None or silence > SILENT_SECONDS:
        return ChainHealth(False, "silent", "No node has answered the indexer lately, or no indexer runs.", lag)
    return ChainHealth(True, "following", "", lag)
