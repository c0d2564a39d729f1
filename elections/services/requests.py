"""Asks the chain for something: the job is started here, the row follows when the indexer sees the event."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from rest_framework.exceptions import ValidationError

from accounts.models import User
from accounts.services import actor_of
from audit.services import record
from elections.exceptions import ElectionClosed, ElectionFinished, ElectionNotClosed
from elections.models import Election, Status
from elections.selectors import get_latest_head, lock_election
from elections.services.metadata import store_metadata
from jobs.models import Job
from jobs.services import start

# The order of BN254's scalar field: a census root is one of its elements.
FIELD_ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617


@transaction.atomic
def request_election(
    *,
    owner: User | None,
    metadata: Mapping[str, Any],
    start_block: int,
    end_block: int,
    census_root: str | None = None,
    verifier: str | None = None,
    idempotency_key: str = "",
) -> tuple[Job, str]:
    """Store the metadata and start the job that sends `createElection`; return it and the metadata's hash.

    Raises ValidationError, naming the member, for a window that cannot be and a census without a verifier.
    """
    if end_block <= start_block:
        raise ValidationError({"end_block": ["The end must come after the start."]}, code="end_before_start")
    head = get_latest_head()
    if head is not None and start_block <= head.number:
        raise ValidationError(
            {"start_block": [f"Block {start_block} has passed; the chain is at {head.number}."]}, code="start_passed"
        )
    if census_root is not None and verifier is None:
        raise ValidationError({"census_root": ["A census needs a verifier."]}, code="census_without_verifier")
    if census_root is not None and int(census_root, 16) >= FIELD_ORDER:
        raise ValidationError({"census_root": ["Not an element of the scalar field."]}, code="out_of_field")
    if verifier is not None and int(verifier, 16) == 0:
        verifier = None
    metadata_hash = f"0x{store_metadata(document=metadata, actor=actor(owner)).hex()}"
    data = {
        "metadata_hash": metadata_hash,
        "start_block": start_block,
        "end_block": end_block,
        "options": len(metadata["options"]),
        "census_root": census_root,
        "verifier": verifier,
    }
    job = start(type="chain.create_election", input=data, owner=owner, idempotency_key=idempotency_key)
    if not job.is_replay:
        record(action="elections.election.requested", actor=actor(owner), target=f"job:{job.pk}", data=data)
    return job, metadata_hash


@transaction.atomic
def request_cancellation(*, owner: User | None, public_id: str, idempotency_key: str = "") -> Job:
    """Start the job that cancels an election.

    Raises ElectionFinished for one tallied or cancelled, ElectionClosed from its end on: the result stands then.
    """
    election = lock_election(public_id=public_id)
    if election.status in (Status.TALLIED, Status.CANCELLED):
        raise ElectionFinished
    if election.status == Status.CLOSED:
        raise ElectionClosed
    return send(election, "chain.cancel_election", "cancellation_requested", owner, idempotency_key)


@transaction.atomic
def request_tally(*, owner: User | None, public_id: str, idempotency_key: str = "") -> Job:
    """Start the job that finalises an election, which publishes its tally on chain.

    Raises ElectionFinished for one tallied or cancelled, ElectionNotClosed before its end.
    """
    election = lock_election(public_id=public_id)
    if election.status in (Status.TALLIED, Status.CANCELLED):
        raise ElectionFinished
    if election.status != Status.CLOSED:
        raise ElectionNotClosed
    return send(election, "chain.finalise_election", "tally_requested", owner, idempotency_key)


def send(election: Election, job_type: str, what: str, owner: User | None, idempotency_key: str) -> Job:
    data = {"chain_id": election.chain_id, "contract": election.contract, "election_id": election.election_id}
    job = start(type=job_type, input=data, owner=owner, idempotency_key=idempotency_key)
    if not job.is_replay:
        data = {"job_id": str(job.pk)}
        record(action=f"elections.election.{what}", actor=actor(owner), target=election.target, data=data)
    return job


def actor(owner: User | None) -> str | None:
    return actor_of(owner) if owner is not None else None
