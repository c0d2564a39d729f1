"""What can go wrong between us and a chain."""

from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException


class NodeError(Exception):
    """A node did not give a usable answer; `node` names the endpoint without its secrets."""

    def __init__(self, message: str, *, node: str = "") -> None:
        super().__init__(message)
        self.node = node


class NodeUnavailable(NodeError):
    """Silence, a cut connection, a 5xx or an answer that is no JSON: try another endpoint, or later."""


class NodeRateLimited(NodeError):
    """The endpoint asks to slow down: back off for `retry_after_seconds`."""

    def __init__(self, message: str, *, node: str = "", retry_after_seconds: float = 1.0) -> None:
        super().__init__(message, node=node)
        self.retry_after_seconds = retry_after_seconds


class TooMuchData(NodeError):
    """The answer would be too big: halve the range and ask at once."""


class RangeCapped(TooMuchData):
    """The endpoint allows at most `cap` blocks a call: remember it."""

    def __init__(self, message: str, *, node: str = "", cap: int | None = None) -> None:
        super().__init__(message, node=node)
        self.cap = cap


class BlockNotFound(NodeError):
    """The endpoint does not know the block: it is behind, or a reorg took the block away."""


class CallRefused(NodeError):
    """The endpoint will refuse this call each time: stop and say so."""

    def __init__(self, message: str, *, node: str = "", code: int = 0, data: Any = None) -> None:
        super().__init__(message, node=node)
        self.code = code
        self.data = data


class Reverted(CallRefused):
    """The contract refused the call; `error_name` is the custom error's name where the ABI knows it."""

    error_name: str = ""


class NodeUntrustworthy(NodeError):
    """An answer contradicts itself or the chain; `check` names the check that caught it."""

    def __init__(self, message: str, *, node: str = "", check: str) -> None:
        super().__init__(message, node=node)
        self.check = check


class NoQuorum(NodeError):
    """Too few endpoints agree on a block's hash or logs."""


class WrongChain(NodeError):
    """The endpoint serves another chain."""


class ConfigurationRefused(Exception):
    """What was configured cannot be indexed; the message says what to do."""


class DecodingFailed(Exception):
    """A log's bytes do not fit the event that its first topic names."""


class ReorgDetected(Exception):
    """The indexed chain is not the node's any more from `number` on."""

    def __init__(self, number: int) -> None:
        super().__init__(f"block {number} was replaced")
        self.number = number


class IndexerHalted(Exception):
    """The indexer found what it must not decide by itself; `index_chain --resume-after-review` goes on."""

    def __init__(self, reason: str, *, code: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class CheckpointMoved(Exception):
    """Another indexer advanced the checkpoint; nothing of ours was written."""


class RangeNeverCovered(Exception):
    """A reindex was asked for blocks that were never indexed."""


class ReorgPending(Exception):
    """The node's chain is not the indexed one in a range that was to be repaired: the indexer follows it first."""


class OtherChainFound(Exception):
    """A second endpoint has another block than ours: there is nothing to compare."""


class TransactionFailed(Exception):
    """A transaction was mined and reverted, or can never be mined."""


class TransactionReverted(APIException):
    """The contract refuses the transaction, for good; `error_name` is its custom error's, where the ABI knows it."""

    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "transaction_reverted"
    default_detail = "The contract refused the transaction."

    def __init__(self, error_name: str = "") -> None:
        super().__init__(f"The contract refused: {error_name}." if error_name else None)
        self.extra = {"contract_error": error_name} if error_name else {}


class TransactionNotMined(APIException):
    """The chain did not take the transaction in time; the same job goes on waiting for it."""

    status_code = status.HTTP_504_GATEWAY_TIMEOUT
    default_code = "transaction_not_mined"
    default_detail = "The chain has not taken the transaction yet."


class SenderOutOfFunds(APIException):
    """The sender cannot pay for gas; the same job sends when it can."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "chain_sender_out_of_funds"
    default_detail = "The account that sends transactions cannot pay for them."


class UnknownContract(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "unknown_contract"
    default_detail = "This installation sends to no such contract."


class SenderNotConfigured(APIException):
    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "chain_sender_not_configured"
    default_detail = "This installation has no key to send transactions with."
