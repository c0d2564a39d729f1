"""Proof requests: checked, counted, found in the cache or queued, made once, kept for a day."""

import hashlib
import hmac
import json
import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.utils import timezone
from redis.exceptions import LockError

from accounts.models import User
from jobs.models import Job, JobStatus
from jobs.selectors import get_result
from jobs.services import JobRun, start
from zk import metrics
from zk.exceptions import (
    ConstraintNotSatisfied,
    DailyQuotaUsed,
    ProofExpired,
    ProofJobUnknown,
    ProverGaveUp,
    ProverUnavailable,
)
from zk.formats import calldata, read_proof, read_signals
from zk.inputs import DEPTH, KINDS
from zk.prover.base import ProverFailed, WitnessRefused
from zk.registry import CircuitVersion, find_circuit, usable_circuit
from zk.services.provers import get_prover

JOB_TYPE = "zk.prove"
MAX_ATTEMPTS = 2
FLIGHT_SECONDS = 3600
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProofState:
    """Where a request for a proof stands; `made` is the proof once there is one."""

    circuit: CircuitVersion
    job: Job | None = None
    made: dict[str, Any] | None = None
    is_cached: bool = False


def digest_of(circuit: CircuitVersion, inputs: dict[str, Any]) -> str:
    """Name a proof by its input: SHA-256 of the circuit's version and the canonical input, under a key of ours.

    The name stays in the job's result. Without the key, whoever reads it could try out a ballot's few possibilities.
    """
    canonical = json.dumps(inputs, sort_keys=True, separators=(",", ":"))
    key = hashlib.sha256(b"psephos zk digest\n" + settings.SECRET_KEY.encode()).digest()
    return hmac.new(key, f"{circuit.label}\n{canonical}".encode(), hashlib.sha256).hexdigest()


def request_proof(*, user: User, name: str, value: Any, version: int | None = None) -> ProofState:
    """Return the proof for an input if it is cached, else the job that makes it.

    Equal requests share a job, or at least a proof. The witness goes to the worker encrypted and is wiped after.
    Raises CircuitUnknown, DevelopmentKeysRefused, InputNotValid, DailyQuotaUsed and the queue's errors.
    """
    circuit = usable_circuit(name, version)
    inputs = KINDS[name].read(value)
    digest = digest_of(circuit, inputs)
    made = find_made(digest)
    if made:
        metrics.requests.labels(name, "cache").inc()
        return ProofState(circuit, made=made, is_cached=True)
    metrics.requests.labels(name, "prover").inc()
    flight = f"zk:flight:{user.pk}:{digest}"
    with _locked(f"zk:request:{digest}", seconds=15, patience_seconds=10):
        made = find_made(digest)
        if made:
            return ProofState(circuit, made=made, is_cached=True)
        job = _find_flight(flight)
        if job is None:
            with counted(user), transaction.atomic():
                job = start(
                    type=JOB_TYPE,
                    input={"circuit": name, "version": circuit.version, "digest": digest, "inputs": inputs},
                    owner=user,
                )
            cache.set(flight, str(job.pk), FLIGHT_SECONDS)
            # The job's input is sealed: this is how its address tells what it will prove.
            cache.set(f"zk:asked:{job.pk}", [name, circuit.version], FLIGHT_SECONDS)
    return ProofState(circuit, job=job)


def _find_flight(key: str) -> Job | None:
    job_id = cache.get(key)
    if job_id is None:
        return None
    return Job.objects.filter(pk=job_id, status__in=[JobStatus.QUEUED, JobStatus.RUNNING]).first()


@contextmanager
def _locked(name: str, *, seconds: float, patience_seconds: float) -> Iterator[None]:
    lock = cache.lock(name, timeout=seconds, blocking_timeout=patience_seconds)  # type: ignore[attr-defined]
    if not lock.acquire():
        raise ProverUnavailable
    try:
        yield
    finally:
        try:
            lock.release()
        except LockError:
            logger.warning("the lock %s ended before its holder", name.rpartition(":")[0])


@contextmanager
def counted(user: User) -> Iterator[None]:
    """Take one proof of a user's day, given back if none was started; raise DailyQuotaUsed when none is left."""
    now = timezone.now()
    name = f"zk:quota:{user.pk}:{now.date().isoformat()}"
    cache.add(name, 0, 2 * 24 * 3600)
    if cache.incr(name) > settings.ZK_PROOFS_PER_DAY:
        cache.decr(name)
        midnight = datetime.combine(now.date() + timedelta(days=1), time(), tzinfo=now.tzinfo)
        raise DailyQuotaUsed(wait=int((midnight - now).total_seconds()) + 1)
    try:
        yield
    except BaseException:
        cache.decr(name)
        raise


def find_made(digest: str) -> dict[str, Any] | None:
    """Find a proof that was made before."""
    stored = cache.get(f"zk:proof:{digest}")
    return json.loads(stored) if stored else None


def make_proof(run: JobRun, value: dict[str, Any]) -> dict[str, Any]:
    """Make the proof that a job asks for, unless another job made it meanwhile.

    The result names the proof by its digest: it lies in Redis for a day, so that the database never links a person to
    a nullifier.
    """
    circuit = usable_circuit(value["circuit"], value["version"])
    digest = value["digest"]
    run.progress(done=0, total=1, message="proving")
    limit = settings.ZK_PROOF_TIMEOUT_SECONDS
    with _locked(f"zk:making:{digest}", seconds=limit + 60, patience_seconds=limit):
        if find_made(digest) is None:
            try:
                with metrics.seconds.labels(circuit.name).time():
                    made = get_prover().prove(circuit.files(for_proving=True), value["inputs"], timeout_seconds=limit)
            except WitnessRefused as error:
                metrics.proofs.labels(circuit.name, "refused").inc()
                raise ConstraintNotSatisfied(detail=str(error)) from None
            except ProverFailed as error:
                metrics.proofs.labels(circuit.name, "failed").inc()
                logger.warning("job %s: %s: %s", run.job_id, error.code, error)
                if run.attempt >= MAX_ATTEMPTS:
                    raise ProverGaveUp(detail=str(error), code=error.code) from None
                raise ProverUnavailable(code=error.code) from None
            content = {"proof": made.proof, "pubSignals": made.public_signals}
            metrics.proofs.labels(circuit.name, "made").inc()
            cache.set(f"zk:proof:{digest}", json.dumps(content), settings.ZK_CACHE_SECONDS)
    return {"circuit": circuit.name, "version": circuit.version, "digest": digest}


def get_proof(*, user: User, name: str, job_id: uuid.UUID) -> ProofState:
    """Return the state of a user's own proof job, with the proof once it is made.

    An administrator sees other people's jobs, but never their proofs: job and proof together would tell whose
    nullifier it is. Raises CircuitUnknown, ProofJobUnknown (also for another person's job), ProofExpired.
    """
    find_circuit(name)
    job = Job.objects.filter(pk=job_id, owner=user, type=JOB_TYPE).first()
    if job is None:
        raise ProofJobUnknown
    if job.status != JobStatus.SUCCEEDED:
        asked, version = cache.get(f"zk:asked:{job.pk}") or (name, None)
        if asked != name:
            raise ProofJobUnknown
        return ProofState(find_circuit(name, version), job=job)
    result, is_expired = get_result(job=job)
    if not is_expired and result["circuit"] != name:
        raise ProofJobUnknown
    made = None if is_expired else find_made(result["digest"])
    if made is None:
        raise ProofExpired
    return ProofState(find_circuit(name, result["version"]), job=job, made=made)


def describe_made(circuit: CircuitVersion, made: dict[str, Any], *, is_calldata: bool = False) -> dict[str, Any]:
    """Shape a proof for an answer: snarkjs's format, or what the contract takes."""
    signals = read_signals(made["pubSignals"], len(circuit.public_signals))
    words = read_proof(made["proof"])
    if is_calldata:
        return {"calldata": calldata(circuit.name, words, signals)}
    shaped = {
        "proof": made["proof"],
        "pubSignals": made["pubSignals"],
        "signals": dict(zip(circuit.public_signals, made["pubSignals"], strict=True)),
    }
    if circuit.name == "eligibility":
        # What @semaphore-protocol/proof calls `points`, and ElectionManager.voteWithProof takes.
        shaped["points"] = [str(word) for word in words]
        shaped["merkleTreeDepth"] = DEPTH
    return shaped
