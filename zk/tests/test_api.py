"""Asking for proofs over HTTP: permission, shapes, cache, quota, refusals without effect."""

import hashlib
import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from accounts.tests.factories import UserFactory, bearer
from apikeys.tests.factories import make_key
from jobs.models import Job, JobStatus
from jobs.services import run_job
from zk import metrics
from zk.inputs import KINDS
from zk.prover.base import MadeProof, ProverCrashed, ProverTimedOut
from zk.registry import find_circuit
from zk.services import get_prover, proving
from zk.tests.asking import post
from zk.tests.inputs import eligibility_input, voice_input

pytestmark = pytest.mark.django_db


def prove(client: Client, circuit: str, value, headers, query: str = ""):
    """Ask for a proof, run the job, return what the job's address then answers."""
    asked = post(client, circuit, value, headers)
    assert asked.status_code == 202, asked.content
    run_job(job_id=uuid.UUID(asked.json()["job"]), has_lease_thread=False)
    return client.get(asked["Location"] + query, headers=headers)


@pytest.mark.slow
def test_a_proof_is_made_by_a_job_then_found_in_the_cache(client, headers):
    value = voice_input()
    made = metrics.proofs.labels("voice", "made")._value
    before = made.get()
    first = prove(client, "voice", value, headers)
    assert first.status_code == 200
    assert made.get() == before + 1
    body = first.json()
    assert body["status"] == "succeeded"
    assert body["signals"]["budget"] == str(value["budget"])
    again = post(client, "voice", value, headers)
    assert again.status_code == 200
    assert again.json()["isCached"]
    assert again.json()["proof"] == body["proof"]
    assert Job.objects.count() == 1
    checked = client.post(
        "/api/zk/voice/verify",
        json.dumps({"proof": body["proof"], "pubSignals": body["pubSignals"]}),
        "application/json",
    )
    assert checked.json()["isValid"] is True
    altered = [*body["pubSignals"][:2], str(value["budget"] + 1)]
    refused = client.post(
        "/api/zk/voice/verify", json.dumps({"proof": body["proof"], "pubSignals": altered}), "application/json"
    )
    assert refused.json()["isValid"] is False


@pytest.mark.slow
def test_an_eligibility_proof_comes_with_points_for_the_contract(client, headers):
    body = prove(client, "eligibility", eligibility_input(), headers).json()
    assert len(body["points"]) == 8
    assert body["merkleTreeDepth"] == 20
    calldata = post(client, "eligibility", eligibility_input(), headers, "?format=calldata").json()["calldata"]
    assert [int(word, 16) for word in calldata["proof"]] == [int(word) for word in body["points"]]
    # Selector, eight words of proof, four signals, the depth.
    assert len(bytes.fromhex(calldata["data"][2:])) == 4 + 32 * 13


def with_key(*scopes: str, owner=None):
    key, text = make_key(owner=owner or UserFactory(), scopes=list(scopes))
    return key, {"Authorization": f"Api-Key {text}"}


def test_a_key_proves_within_its_scopes(client):
    owner = UserFactory()
    _, creating = with_key("proofs:create", owner=owner)
    _, reading = with_key("proofs:read", owner=owner)
    for answer in (post(client, "voice", voice_input(), reading), client.get("/api/zk", headers=creating)):
        assert (answer.status_code, answer.json()["code"]) == (403, "api_key_scope_missing")
    assert not Job.objects.exists()
    asked = post(client, "voice", voice_input(), creating)
    assert asked.status_code == 202
    assert Job.objects.get().owner == owner
    assert client.get(asked["Location"], headers=creating).json()["code"] == "api_key_scope_missing"
    assert client.get(asked["Location"], headers=reading).json()["status"] == "queued"
    assert client.get("/api/zk", headers=reading).status_code == 200
    checked = client.post("/api/zk/voice/verify", "{}", "application/json", headers=reading)
    assert checked.json()["code"] == "proof_malformed"


def test_a_persons_keys_share_the_persons_quota(client, settings):
    settings.ZK_PROOFS_PER_DAY = 2
    owner = UserFactory()
    _, first = with_key("proofs:create", owner=owner)
    _, second = with_key("proofs:create", owner=owner)
    assert post(client, "voice", voice_input(1), first).status_code == 202
    assert post(client, "voice", voice_input(2), second).status_code == 202
    for headers in (first, second, bearer(owner)):
        assert post(client, "voice", voice_input(3), headers).json()["code"] == "daily_quota_used"
    _, other = with_key("proofs:create")
    assert post(client, "voice", voice_input(3), other).status_code == 202


def test_an_administrator_does_not_see_another_persons_proof(client, headers):
    asked = post(client, "eligibility", eligibility_input(), headers)
    admin = bearer(UserFactory(role="admin"))
    answer = client.get(asked["Location"], headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (404, "job_unknown")
    # The job itself they see, without what it is about.
    job = client.get(f"/jobs/{asked.json()['job']}", headers=admin)
    assert job.status_code == 200
    assert eligibility_input()["secret"] not in job.content.decode()


def test_a_job_does_not_name_its_input_to_those_who_would_guess(client, headers):
    value = voice_input(salt="0")
    asked = post(client, "voice", value, headers)
    job_id = uuid.UUID(asked.json()["job"])
    cache.set(f"zk:proof:{proving.digest_of(find_circuit('voice'), KINDS['voice'].read(value))}", '{"x": 1}')
    assert run_job(job_id=job_id, has_lease_thread=False) == JobStatus.SUCCEEDED
    digest = client.get(f"/jobs/{job_id}", headers=headers).json()["result"]["digest"]
    canonical = json.dumps(KINDS["voice"].read(value), sort_keys=True, separators=(",", ":"))
    assert digest != hashlib.sha256(f"voice@1\n{canonical}".encode()).hexdigest()


def test_proof_jobs_start_at_their_own_door_only(client):
    admin = bearer(UserFactory(role="admin"))
    body = json.dumps({"circuit": "voice", "version": 1, "digest": "0" * 64, "inputs": {}})
    answer = client.post("/jobs/zk.prove", body, "application/json", headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_job_type")


def test_proving_needs_a_sign_in(client):
    answer = post(client, "voice", voice_input())
    assert answer.status_code == 401
    assert "WWW-Authenticate" in answer
    assert not Job.objects.exists()


@pytest.mark.parametrize("circuit", ["nothing", "voice2", "Voice"])
def test_unknown_circuits_are_not_found(client, headers, circuit):
    assert post(client, circuit, voice_input(), headers).status_code == 404
    assert post(client, circuit, voice_input(), headers).json()["code"] == "circuit_unknown"
    assert client.post(f"/api/zk/{circuit}/verify", "{}", "application/json").status_code == 404
    assert post(client, "voice", voice_input(), headers, "?version=99").json()["code"] == "circuit_unknown"


def test_another_persons_job_and_an_unknown_one_are_both_not_found(client, headers):
    asked = post(client, "voice", voice_input(), headers)
    other = bearer(UserFactory())
    foreign = client.get(asked["Location"], headers=other)
    unknown = client.get(f"/api/zk/voice/{uuid.uuid4()}", headers=other)
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.json()["code"] == unknown.json()["code"] == "job_unknown"


@pytest.mark.slow
def test_a_job_is_found_under_its_own_circuit_alone(client, headers):
    asked = post(client, "voice", voice_input(), headers)
    address = asked["Location"]
    for state in ("queued", "succeeded"):
        right, wrong = (
            client.get(address, headers=headers),
            client.get(address.replace("voice", "eligibility"), headers=headers),
        )
        assert (right.json()["status"], right.json()["version"]) == (state, 1)
        assert (wrong.status_code, wrong.json()["code"]) == (404, "job_unknown")
        run_job(job_id=uuid.UUID(asked.json()["job"]), has_lease_thread=False)


def test_queued_jobs_show_their_state(client, headers):
    asked = post(client, "voice", voice_input(), headers)
    state = client.get(asked["Location"], headers=headers)
    assert state.json()["status"] == "queued"
    assert "proof" not in state.json()


def test_an_expired_proof_is_gone(client, headers):
    asked = post(client, "voice", voice_input(), headers)
    run_job(job_id=uuid.UUID(asked.json()["job"]), has_lease_thread=False)
    cache.clear()
    answer = client.get(asked["Location"], headers=headers)
    assert answer.status_code == 410
    assert answer.json()["code"] == "proof_expired"


def test_equal_requests_share_one_job(client, headers):
    first = post(client, "voice", voice_input(), headers)
    second = post(client, "voice", voice_input(), headers)
    assert first.json()["job"] == second.json()["job"]
    assert Job.objects.count() == 1


def test_the_daily_quota_ends_with_429_and_a_time_to_come_back(client, headers, settings):
    settings.ZK_PROOFS_PER_DAY = 2
    assert post(client, "voice", voice_input(1), headers).status_code == 202
    assert post(client, "voice", voice_input(1), headers).status_code == 202
    assert post(client, "voice", voice_input(2), headers).status_code == 202
    refused = post(client, "voice", voice_input(3), headers)
    assert refused.status_code == 429
    assert refused.json()["code"] == "daily_quota_used"
    assert 0 < int(refused["Retry-After"]) <= 24 * 3600
    assert Job.objects.count() == 2
    assert post(client, "voice", voice_input(3), bearer(UserFactory())).status_code == 202


def test_development_keys_are_refused_where_they_are_not_allowed(client, headers, settings):
    settings.ZK_ALLOW_DEVELOPMENT_KEYS = False
    for answer in (
        post(client, "voice", voice_input(), headers),
        client.post("/api/zk/voice/verify", json.dumps({"proof": {}, "pubSignals": []}), "application/json"),
        client.get("/api/zk/voice/1/circuit.zkey"),
    ):
        assert answer.status_code == 503
        assert answer.json()["code"] == "development_keys_refused"
    assert not Job.objects.exists()
    assert post(client, "eligibility", eligibility_input(), headers).status_code == 202
    available = {circuit["name"]: circuit["isAvailable"] for circuit in client.get("/api/zk").json()}
    assert available == {"eligibility": True, "voice": False, "batch_tally": False}


class FailingProver:
    def __init__(self, error):
        self.error = error

    def prove(self, files, inputs, *, timeout_seconds):
        raise self.error


@pytest.mark.parametrize("error", [ProverCrashed("ended with -9"), ProverTimedOut("late")])
def test_a_prover_that_fails_twice_fails_the_job_with_its_code(client, headers, monkeypatch, error):
    monkeypatch.setattr(proving, "get_prover", lambda: FailingProver(error))
    asked = post(client, "voice", voice_input(), headers)
    job_id = uuid.UUID(asked.json()["job"])
    assert run_job(job_id=job_id, has_lease_thread=False) == JobStatus.QUEUED
    assert run_job(job_id=job_id, has_lease_thread=False) == JobStatus.FAILED
    state = client.get(asked["Location"], headers=headers).json()
    assert state["status"] == "failed"
    assert state["problem"]["code"] == error.code
    # The failed job is not shared: the next request starts another.
    assert post(client, "voice", voice_input(), headers).json()["job"] != str(job_id)


def test_an_unsatisfying_witness_fails_the_job_and_names_the_constraint(client, headers, monkeypatch):
    value = voice_input()
    asked = post(client, "voice", value, headers)
    from zk import inputs as module

    real = module.KINDS["voice"].read(value)
    monkeypatch.setattr(
        proving, "usable_circuit", lambda name, version=None: __import__("zk.registry").registry.find_circuit(name)
    )
    prover = get_prover()

    class Lowering:
        def prove(self, files, inputs, *, timeout_seconds):
            return prover.prove(files, inputs | {"budget": 0}, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(proving, "get_prover", Lowering)
    assert sum(real["votes"]) > 0
    assert run_job(job_id=uuid.UUID(asked.json()["job"]), has_lease_thread=False) == JobStatus.FAILED
    problem = client.get(asked["Location"], headers=headers).json()["problem"]
    assert problem["code"] == "constraint_not_satisfied"
    assert "Voice" in problem["detail"]


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_hundred_equal_requests_at_once_make_one_proof(monkeypatch):
    user = UserFactory()
    headers = bearer(user)
    made = []

    class Counting:
        def prove(self, files, inputs, *, timeout_seconds):
            made.append(1)
            return MadeProof({"pi_a": []}, [])

    monkeypatch.setattr(proving, "get_prover", Counting)

    def ask(_):
        try:
            return post(Client(), "voice", voice_input(), headers).json()["job"]
        finally:
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        jobs = set(pool.map(ask, range(100)))
    assert len(jobs) == 1
    assert Job.objects.count() == 1
    run_job(job_id=uuid.UUID(jobs.pop()))
    # Another person's equal request finds the proof.
    assert proving.request_proof(user=UserFactory(), name="voice", value=voice_input()).is_cached
    assert len(made) == 1
