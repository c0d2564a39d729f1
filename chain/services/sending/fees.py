"""What a transaction offers to pay for its gas: enough for the next blocks, more each time, never past the ceiling."""

from django.conf import settings

from chain.exceptions import CallRefused
from chain.models import Transaction
from chain.nodes import Nodes

GWEI = 1_000_000_000
# A replacement must pay at least a tenth more to be taken (geth's price bump): a quarter more each time.
ESCALATION = 1.25


def suggested_fees(nodes: Nodes) -> tuple[int, int]:
    """Return (max fee, priority fee) per gas in wei, bearing a doubling of the base fee."""
    try:
        priority = int(nodes.call("eth_maxPriorityFeePerGas"), 16)
    except CallRefused:
        priority = GWEI
    priority = max(1, min(priority, settings.CHAIN_MAX_FEE_GWEI * GWEI))
    base = int(nodes.call("eth_getBlockByNumber", "latest", False).get("baseFeePerGas", "0x0"), 16)
    return min(2 * base + priority, settings.CHAIN_MAX_FEE_GWEI * GWEI), priority


def raised_fees(*, row: Transaction, suggested: tuple[int, int]) -> tuple[int, int]:
    """Return (max fee, priority fee) for which a node takes a transaction in the place of itself, up to the ceiling."""
    max_fee = max(int(int(row.max_fee_per_gas) * ESCALATION) + 1, suggested[0])
    priority = max(int(int(row.max_priority_fee_per_gas) * ESCALATION) + 1, suggested[1])
    max_fee = min(max_fee, settings.CHAIN_MAX_FEE_GWEI * GWEI)
    return max_fee, min(priority, max_fee)
