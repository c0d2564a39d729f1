"""What the provers count, for Prometheus."""

from prometheus_client import Counter, Histogram

requests = Counter("psephos_proof_requests_total", "Requests by where the proof came from", ["circuit", "source"])
proofs = Counter("psephos_proofs_total", "Provers' runs by outcome", ["circuit", "outcome"])
seconds = Histogram(
    "psephos_proof_seconds",
    "Duration of a prover's run",
    ["circuit"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 15, 30, 60, float("inf")),
)
