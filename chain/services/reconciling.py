"""Recounts the elections from raw logs over a second endpoint and compares them with the rows."""

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from audit.services import record
from chain import metrics
from chain.exceptions import OtherChainFound, RangeCapped, TooMuchData
from chain.models import Checkpoint, Contract
from chain.nodes import Nodes
from chain.reading import Reader
from chain.selectors import list_contracts
from chain.services.decoding import decode_logs, read_contexts
from chain.services.indexing import RangeSize
from elections.events import Event
from elections.models import Election
from elections.projection import State, fold

logger = logging.getLogger(__name__)
COMPARED = ("metadata_hash", "start_block", "end_block", "options", "census_root", "verifier", "is_cancelled")


@dataclass
class Recount:
    """The states of one contract's elections, folded as ranges come in."""

    contract: Contract
    states: dict[int, State] = field(default_factory=dict)
    next_block: int = 0
    events: int = 0


@dataclass(frozen=True)
class Difference:
    """One field of one election in which rows and recount differ."""

    election: str
    what: str
    row: str
    recount: str


@dataclass(frozen=True)
class Reconciliation:
    up_to: int
    elections: int
    events: int
    differences: list[Difference]


def reconcile(*, rpc_url: str = "", chain_id: int | None = None) -> Reconciliation:
    """Recount every election from its deployment on, over `rpc_url`, else the last of CHAIN_RPC_URLS.

    Nothing is changed but the checkpoint's note of the outcome. Raises OtherChainFound when the endpoint has another
    block where the index stands.
    """
    chain_id = settings.CHAIN_ID if chain_id is None else chain_id
    reader = Reader(Nodes([rpc_url or settings.CHAIN_RPC_URLS[-1]], chain_id=chain_id))
    recounts = [Recount(contract, next_block=contract.deployment_block) for contract in list_contracts(chain_id)]
    # No further than what is final: the rest may be replaced while this is counted.
    target = Checkpoint.objects.get(pk=chain_id).finalized_block
    for one in recounts:
        count_up_to(reader, one, target)
    # The index has moved on meanwhile: rows and checkpoint are read as of one moment, and the rest is counted.
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        checkpoint = Checkpoint.objects.get(pk=chain_id)
        rows = {
            (row.contract, row.election_id): row
            for row in Election.objects.visible().filter(
                chain_id=chain_id, contract__in=[one.contract.address for one in recounts]
            )
        }
    if checkpoint.block_number >= 0:
        refuse_other_chain(reader, checkpoint)
    for one in recounts:
        count_up_to(reader, one, checkpoint.block_number)
    if checkpoint.block_number >= 0:
        refuse_other_chain(reader, checkpoint)
    differences = compare(recounts, rows)
    with transaction.atomic():
        Checkpoint.objects.filter(pk=chain_id).update(
            reconciled_at=timezone.now(), reconcile_differences=len({one.election for one in differences})
        )
        record(
            action="chain.elections.reconciled",
            target=f"chain:{chain_id}",
            data={"up_to": checkpoint.block_number, "differences": len(differences)},
        )
    metrics.reconcile_difference.labels(chain_id).set(len({one.election for one in differences}))
    if differences:
        logger.error("elections differ from a recount", extra={"differences": len(differences)})
    return Reconciliation(
        checkpoint.block_number,
        sum(len(one.states) for one in recounts),
        sum(one.events for one in recounts),
        differences,
    )


def refuse_other_chain(reader: Reader, checkpoint: Checkpoint) -> None:
    """Raise OtherChainFound when the endpoint has another block where the index stands."""
    header = reader.header(checkpoint.block_number)
    if header.hash != "0x" + bytes(checkpoint.block_hash).hex():
        raise OtherChainFound(
            f"the endpoint has {header.hash} as block {header.number}, the index another: wait for the reorg to "
            "settle, or compare the endpoints"
        )


def count_up_to(reader: Reader, recount: Recount, up_to: int) -> None:
    """Fold a contract's logs from where the recount stands up to a block."""
    contract = recount.contract
    by_address = {contract.address: contract}
    size = RangeSize(500, 2000)
    while recount.next_block <= up_to:
        low = recount.next_block
        high = min(up_to, low + size.blocks - 1)
        try:
            answer = reader.range_logs([contract.address], low, high)
        except TooMuchData as error:
            if low == high and not isinstance(error, RangeCapped):
                raise
            size.shrink(error, high - low + 1)
            continue
        size.learn(high - low + 1, len(answer.logs))
        contexts = read_contexts(reader=reader, contracts=by_address, logs=answer.logs)
        decoded = decode_logs(contracts=by_address, logs=answer.logs, headers=answer.headers, contexts=contexts)
        by_election: dict[int, list[Event]] = defaultdict(list)
        for event in decoded.events:
            by_election[event.election_id].append(event)
        for election_id, events in by_election.items():
            state = fold(recount.states.get(election_id), events)
            if state is not None:
                recount.states[election_id] = state
        recount.events += len(decoded.events)
        recount.next_block = high + 1


def compare(recounts: list[Recount], rows: dict[tuple[str, int], Election]) -> list[Difference]:
    """List every field in which an election's row differs from its recount."""
    differences: list[Difference] = []
    expected = {
        (one.contract.address, election_id): state for one in recounts for election_id, state in one.states.items()
    }
    for key in sorted(set(expected) | set(rows)):
        state, row = expected.get(key), rows.get(key)
        name = f"{key[0]}/{key[1]}"
        if state is None or row is None:
            differences.append(
                Difference(name, "election", "there" if row else "missing", "there" if state else "missing")
            )
            continue
        pairs: dict[str, tuple[Any, Any]] = {one: (getattr(row, one), getattr(state, one)) for one in COMPARED}
        pairs["metadata_hash"] = (bytes(row.metadata_hash).hex(), state.metadata_hash.hex())
        pairs["votes"] = ([int(vote) for vote in row.votes], list(state.votes))
        pairs["totals"] = (
            None if row.totals is None else [int(total) for total in row.totals],
            None if state.totals is None else list(state.totals),
        )
        pairs["turnout"] = (int(row.turnout), state.turnout)
        differences += [
            Difference(name, what, str(ours), str(theirs)) for what, (ours, theirs) in pairs.items() if ours != theirs
        ]
    return differences
