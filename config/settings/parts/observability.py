"""Settings of metrics; every metric's name stands in docs/operations.md."""

from pathlib import Path

from config.settings.env import env

# Who may read `/metrics` shows this as a bearer token. Empty: anybody; production refuses that.
METRICS_TOKEN: str = env.str("METRICS_TOKEN", "")
# A process that serves no HTTP (worker, indexer, sequencer, beat) shows its metrics on this port. 0: none.
METRICS_PORT: int = env.int("METRICS_PORT", 0)
# The processes of one machine or container write their counters into this folder, and `/metrics` adds them up.
# prometheus_client reads the variable itself. Empty it before each start.
METRICS_FOLDER: str = env.str("PROMETHEUS_MULTIPROC_DIR", "")
if METRICS_FOLDER:
    Path(METRICS_FOLDER).mkdir(parents=True, exist_ok=True)

PROMETHEUS_EXPORT_MIGRATIONS = False
# The service levels are 300 ms (reads) and 1 s (pushes): both are bounds of buckets.
PROMETHEUS_LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.5, 5.0, 10.0, float("inf"))

# Every Celery queue; metrics and healthcheck list them although nothing waits in them.
QUEUES = ("default", "proofs", "chain", "notifications", "audit")
