"""Every rule and every write of `chain`."""

from chain.services.anchoring import anchor_audit_root, anchor_contract, start_anchoring
from chain.services.contracts import Configured, configured_contracts
from chain.services.deployment import await_receipt, deploy_contracts, is_deployed, read_deployment
from chain.services.indexing import Indexer, IndexProgress, Listeners, Retraction, resume_after_review
from chain.services.listening import HeadListener, websocket_url
from chain.services.publishing import publish_head, publish_retraction
from chain.services.reconciling import reconcile
from chain.services.repairing import reindex, replay_dead_letters
from chain.services.running import Runner, build_indexer, build_nodes, build_reader
from chain.services.sending import send, send_to_manager, watch_transactions
from chain.services.status import index_status

__all__ = [
    "Configured",
    "HeadListener",
    "IndexProgress",
    "Indexer",
    "Listeners",
    "Retraction",
    "Runner",
    "anchor_audit_root",
    "anchor_contract",
    "await_receipt",
    "build_indexer",
    "build_nodes",
    "build_reader",
    "configured_contracts",
    "deploy_contracts",
    "index_status",
    "is_deployed",
    "publish_head",
    "publish_retraction",
    "read_deployment",
    "reconcile",
    "reindex",
    "replay_dead_letters",
    "resume_after_review",
    "send",
    "send_to_manager",
    "start_anchoring",
    "watch_transactions",
    "websocket_url",
]
