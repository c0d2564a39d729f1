"""What the indexer, the listener and the sender count, for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

events_indexed = Counter("psephos_chain_events_indexed_total", "Logs written", ["chain", "event"])
blocks_indexed = Counter("psephos_chain_blocks_indexed_total", "Blocks covered", ["chain"])
commit_seconds = Histogram("psephos_chain_commit_seconds", "Duration of one index transaction", ["chain"])
reorgs = Counter("psephos_chain_reorgs_total", "Reorgs followed", ["chain"])
reorg_depth = Histogram(
    "psephos_chain_reorg_depth_blocks", "Blocks taken back by a reorg", ["chain"], buckets=(1, 2, 3, 5, 8, 16, 32, 64)
)
retracted = Counter("psephos_chain_logs_retracted_total", "Logs taken back by reorgs", ["chain"])
dead_letters = Counter("psephos_chain_dead_letters_total", "Logs that did not decode", ["chain"])
head = Gauge("psephos_chain_head_block", "Newest block of the node", ["chain"], multiprocess_mode="max")
indexed_head = Gauge("psephos_chain_indexed_block", "Newest block indexed", ["chain"], multiprocess_mode="max")
finalized_head = Gauge("psephos_chain_finalized_block", "Newest finalized block", ["chain"], multiprocess_mode="max")
lag_blocks = Gauge(
    "psephos_chain_lag_blocks", "Blocks between the node's head and ours", ["chain"], multiprocess_mode="mostrecent"
)
halted = Gauge("psephos_chain_halted", "1 while the indexer waits for a review", ["chain"], multiprocess_mode="max")
is_leader = Gauge("psephos_chain_is_leader", "1 in the indexer that writes", ["chain"], multiprocess_mode="livesum")
rpc_calls = Counter("psephos_chain_rpc_calls_total", "Calls to nodes", ["node", "method", "outcome"])
rpc_seconds = Histogram("psephos_chain_rpc_seconds", "Duration of successful calls", ["node", "method"])
node_head = Gauge("psephos_chain_node_head_block", "Newest block by endpoint", ["node"], multiprocess_mode="max")
distrust = Counter("psephos_chain_distrust_total", "Answers that contradict themselves or the chain", ["node", "check"])
disagreements = Counter("psephos_chain_disagreements_total", "Quorum questions with different answers", ["what"])
reconcile_difference = Gauge(
    "psephos_chain_reconcile_difference", "Elections that differ from a recount", ["chain"], multiprocess_mode="max"
)
transactions = Counter("psephos_chain_transactions_total", "Transactions by outcome", ["kind", "outcome"])
gas_escalations = Counter("psephos_chain_gas_escalations_total", "Replacements of stuck transactions", ["kind"])
heads_published = Counter("psephos_chain_heads_published_total", "Heads sent to sockets", ["chain"])
sockets = Gauge("psephos_chain_sockets", "Open /ws/chain sockets", multiprocess_mode="livesum")
