"""Says how far the index is, how fast it moves, and what it misses."""

import time
from typing import Any

from chain.exceptions import NodeError
from chain.models import Checkpoint, DeadLetter
from chain.reading import Reader
from chain.selectors import count_by_event, get_checkpoint, list_contracts
from chain.services.coverage import covered, missing


def index_status(*, chain_id: int, reader: Reader | None = None, sample_seconds: float = 0) -> dict[str, Any] | None:
    """Describe the index of a chain, or return None when there is none.

    The rate is measured over `sample_seconds`; the ETA follows from it. The node is asked for its head when a reader
    is given, else the head that the indexer saw last stands in.
    """
    checkpoint = get_checkpoint(chain_id)
    if checkpoint is None:
        return None
    node_head, node = checkpoint.node_head, "as the indexer saw it last"
    if reader is not None:
        try:
            node_head, node = reader.head().header.number, "now"
        except NodeError as error:
            node = f"not to be had: {type(error).__name__}"
    rate = None
    if sample_seconds:
        before, started = checkpoint, time.monotonic()
        time.sleep(sample_seconds)
        checkpoint = Checkpoint.objects.get(pk=chain_id)
        rate = (checkpoint.block_number - before.block_number) / (time.monotonic() - started)
    contracts = list_contracts(chain_id)
    counts = count_by_event(contracts)
    described = []
    behind = 0
    for contract in contracts:
        absent = missing(contract, up_to=max(node_head, checkpoint.block_number))
        behind = max(behind, sum(high - low + 1 for low, high in absent))
        described.append(
            {
                "contract": str(contract),
                "deployment_block": contract.deployment_block,
                "covered": covered(contract),
                "missing": absent,
                "events": counts.get(contract.pk, {}),
                "dead_letters": DeadLetter.objects.filter(
                    contract=contract, replayed_at=None, retracted_at=None
                ).count(),
            }
        )
    return {
        "chain_id": chain_id,
        "block": checkpoint.block_number,
        "block_hash": "0x" + bytes(checkpoint.block_hash).hex(),
        "safe_block": checkpoint.safe_block,
        "finalized_block": checkpoint.finalized_block,
        "node_head": node_head,
        "node_head_is": node,
        "lag_blocks": max(0, node_head - checkpoint.block_number),
        "blocks_per_second": rate,
        "eta_seconds": None if not rate or rate <= 0 else round(behind / rate, 1),
        "writer": checkpoint.writer,
        "lease_expires_at": checkpoint.lease_expires_at and checkpoint.lease_expires_at.isoformat(),
        "updated_at": checkpoint.updated_at.isoformat(),
        "halted": checkpoint.halted_at
        and {"since": checkpoint.halted_at.isoformat(), "code": checkpoint.halt_code, "reason": checkpoint.halt_reason},
        "reconciled_at": checkpoint.reconciled_at and checkpoint.reconciled_at.isoformat(),
        "reconcile_differences": checkpoint.reconcile_differences,
        "contracts": described,
    }
