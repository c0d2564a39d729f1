"""What the proofs' room counts, for Prometheus."""

from prometheus_client import Counter, Histogram

requests = Counter("psephos_proof_requests_total", "Requests for proofs by where one came from", ["circuit", "source"])
proofs = Counter("psephos_proofs_total", "Attempts to prove by outcome", ["circuit", "outcome"])
seconds = Histogram(
    "psephos_proof_seconds",
    "Time to make a proof, its verification included",
    ["circuit"],
    buckets=(0.03, 0.06, 0.1, 0.2, 0.4, 0.8, 1.5, 3, 6, 12, 30, 60, 120),
)
