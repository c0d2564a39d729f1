"""Proof jobs, on the queue `proofs` with two workers for each core."""

from typing import Any

from celery.signals import worker_process_init
from django.conf import settings

from jobs.services import JobType, register
from zk.services.provers import preload
from zk.services.proving import JOB_TYPE, MAX_ATTEMPTS, make_proof

register(
    JobType(
        name=JOB_TYPE,
        description="Makes a proof for a checked input; started by POST /api/zk/{circuit}.",
        input_schema={
            "type": "object",
            "properties": {
                "circuit": {"type": "string"},
                "version": {"type": "integer"},
                "digest": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
                "inputs": {"type": "object"},
            },
            "required": ["circuit", "version", "digest", "inputs"],
            "additionalProperties": False,
        },
        handler=make_proof,
        permission=None,
        queue="proofs",
        soft_time_limit_seconds=2 * settings.ZK_PROOF_TIMEOUT_SECONDS + 30,
        time_limit_seconds=2 * settings.ZK_PROOF_TIMEOUT_SECONDS + 60,
        max_attempts=MAX_ATTEMPTS,
        is_secret=True,
    )
)


@worker_process_init.connect
def load_keys(**_: Any) -> None:
    """Load the keys that ZK_PRELOAD names; after the fork, since a prover belongs to one process."""
    preload(settings.ZK_PRELOAD)
