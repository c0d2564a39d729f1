"""The proofs API over HTTP: permission, shapes, cache, quota, refusals without effect."""

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
from zk.tests.inputs import MAKERS, eligibility_input, voice_input

pytestmark = pytest.mark.django_db


@pytest.fixture
def user():
    return UserFactory()


@pytest.fixture
def headers(user):
    return bearer(user)


def post(client: Client, circuit: str, value, headers=None, query: str = ""):
    return client.post(f"/api/zk/{circuit}{query}", json.dumps(value), "application/json", headers=headers or {})


def prove(client: Client, circuit: str, value, headers, query: str = ""):
    """Ask for a proof, run the job, return what the job's address then answers."""
    asked = post(client, circuit, value, headers)
    assert asked.status_code == 202, asked.content
    run_job(job_id=uuid.UUID(asked.json()["job"]), has_lease_thread=False)
    return client.get(asked["Location"] + query, headers=headers)


def test_circuits_are_listed_with_all_that_a_device_needs(client):
    answer = client.get("/api/zk")
    assert answer.status_code == 200
    circuits = {circuit["name"]: circuit for circuit in answer.json()}
    assert set(circuits) == {"eligibility", "voice", "batch_tally"}
    voice = circuits["voice"]
    assert voice["publicSignals"] == ["commitment", "election", "budget"]
    assert voice["isDevelopment"]
    assert not circuits["eligibility"]["isDevelopment"]
    download = client.get(voice["files"]["vkey"]["url"])
    content = b"".join(download.streaming_content)
    assert hashlib.sha256(content).hexdigest() == voice["files"]["vkey"]["sha256"]
    again = client.get(voice["files"]["vkey"]["url"], headers={"If-None-Match": download["ETag"]})
    assert again.status_code == 304


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


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [
        ("bytes=0-9", 206, (0, 10)),
        ("bytes=100-", 206, (100, None)),
        ("bytes=-7", 206, (-7, None)),
        ("bytes=5-99999999", 206, (5, None)),
        ("bytes=99999999-", 416, None),
        ("bytes=9-2", 416, None),
        ("bytes=-0", 416, None),
        # Several ranges, other units and nonsense: the whole file, as the RFC allows.
        ("bytes=0-1,4-5", 200, (0, None)),
        ("bytes=-", 200, (0, None)),
        ("lines=1-2", 200, (0, None)),
    ],
)
def test_a_download_that_broke_off_goes_on(client, asked, status, span):
    address = "/api/zk/voice/1/verification_key.json"
    whole = b"".join(client.get(address).streaming_content)
    answer = client.get(address, headers={"Range": asked})
    assert answer.status_code == status
    if span is None:
        assert answer["Content-Range"] == f"bytes */{len(whole)}"
        return
    content = b"".join(answer.streaming_content)
    assert content == whole[slice(*span)]
    assert int(answer["Content-Length"]) == len(content)
    if status == 206:
        start = whole.index(content)
        assert answer["Content-Range"] == f"bytes {start}-{start + len(content) - 1}/{len(whole)}"
        # The rest of another file must not be joined to what the reader has.
        other = client.get(address, headers={"Range": asked, "If-Range": '"another"'})
        assert other.status_code == 200


def test_a_voters_app_of_another_origin_reads_circuits_and_files_and_nothing_of_a_person(client, headers):
    origin = {"Origin": "https://voter.example"}
    for address in ("/api/zk", "/api/zk/voice/1/circuit.wasm", "/api/zk/voice/1/circuit.r1cs"):
        answer = client.get(address, headers=origin)
        assert answer["Access-Control-Allow-Origin"] == "*"
        assert "Access-Control-Allow-Credentials" not in answer
    assert "Access-Control-Allow-Origin" not in post(client, "voice", voice_input(), headers | origin)


def test_files_come_under_their_types(client):
    types = {"circuit.wasm": "application/wasm", "verification_key.json": "application/json"}
    for file in ("circuit.wasm", "verification_key.json", "circuit.zkey", "circuit.r1cs"):
        answer = client.get(f"/api/zk/voice/1/{file}")
        assert answer["Content-Type"] == types.get(file, "application/octet-stream")


def test_files_that_a_circuit_has_not_are_not_found(client):
    assert client.get("/api/zk/voice/1/circuit.sym").status_code == 404
    assert client.get("/api/zk/voice/2/circuit.wasm").status_code == 404


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


P = "21888242871839275222246405745257275088548364400416034343698204186575808495617"


@pytest.mark.parametrize(
    ("circuit", "changes", "pointer", "code"),
    [
        ("voice", {"votes": ["1"] + [0] * 9}, "/votes/0", "not_an_integer"),
        ("voice", {"votes": [-1] + [0] * 9}, "/votes/0", "out_of_range"),
        ("voice", {"votes": [65536] + [0] * 9}, "/votes/0", "out_of_range"),
        ("voice", {"votes": [True] + [0] * 9}, "/votes/0", "not_an_integer"),
        ("voice", {"votes": [1.0] + [0] * 9}, "/votes/0", "not_an_integer"),
        ("voice", {"votes": [0] * 9}, "/votes", "wrong_size"),
        ("voice", {"votes": [4] + [0] * 9, "budget": 15}, "/votes", "over_budget"),
        ("voice", {"budget": 2**36}, "/budget", "out_of_range"),
        ("voice", {"budget": "100"}, "/budget", "not_an_integer"),
        ("voice", {"salt": P}, "/salt", "out_of_range"),
        ("voice", {"salt": 7}, "/salt", "not_a_decimal_string"),
        ("voice", {"salt": "-1"}, "/salt", "not_a_decimal_string"),
        ("voice", {"salt": "0x10"}, "/salt", "not_a_decimal_string"),
        ("voice", {"salt": "01"}, "/salt", "not_a_decimal_string"),
        ("voice", {"salt": "٣"}, "/salt", "not_a_decimal_string"),
        ("voice", {"election": "9" * 78}, "/election", "out_of_range"),
        ("voice", {"extra": 1}, "/extra", "unknown_field"),
        ("eligibility", {"secret": "0"}, "/secret", "out_of_range"),
        (
            "eligibility",
            {"secret": "2736030358979909402780800718157159386076813972158567259200215660948447373041"},
            "/secret",
            "out_of_range",
        ),
        ("eligibility", {"merkleProofLength": 21}, "/merkleProofLength", "out_of_range"),
        ("eligibility", {"merkleProofIndex": 2**20}, "/merkleProofIndex", "out_of_range"),
        ("eligibility", {"message": str(2**256)}, "/message", "out_of_range"),
        ("batch_tally", {"chainBefore": P}, "/chainBefore", "out_of_range"),
        ("batch_tally", {"votes": []}, "/votes", "wrong_size"),
        ("batch_tally", {"votes": [[0] * 10] * 129}, "/votes", "wrong_size"),
    ],
)
def test_bad_input_is_told_by_field_and_starts_nothing(client, headers, circuit, changes, pointer, code):
    answer = post(client, circuit, MAKERS[circuit](**changes), headers)
    assert answer.status_code == 422, answer.content
    assert {"pointer": pointer, "code": code} in [
        {"pointer": error["pointer"], "code": error["code"]} for error in answer.json()["errors"]
    ]
    assert not Job.objects.exists()
    assert not cache.keys("zk:quota:*")


def test_a_ballot_given_twice_is_refused(client, headers):
    value = MAKERS["batch_tally"](count=3)
    value["votes"].append(value["votes"][1])
    value["salts"].append(value["salts"][1])
    answer = post(client, "batch_tally", value, headers)
    assert answer.json()["errors"] == [
        {
            "pointer": "/votes/3",
            "code": "ballot_repeated",
            "detail": "This ballot stands in the batch already, at 1.",
        }
    ]


@pytest.mark.parametrize("body", ["[1]", '"x"', "null", "12", "[" * 5000 + "]" * 5000, "{", '{"votes": NaN}'])
def test_what_is_no_object_is_refused(client, headers, body):
    answer = client.post("/api/zk/voice", body, "application/json", headers=headers)
    assert answer.status_code in {400, 422}
    assert not Job.objects.exists()


def test_a_huge_body_is_refused(client, headers):
    body = json.dumps({"votes": [0] * 900_000})
    assert client.post("/api/zk/voice", body, "application/json", headers=headers).status_code == 413


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"proof": {}, "pubSignals": []},
        {"proof": {"pi_a": ["1", "2", "1"]}, "pubSignals": ["1", "2", "3"]},
        {"proof": 5, "pubSignals": 5},
        {"points": 1},
    ],
)
def test_a_malformed_proof_is_422_and_not_merely_invalid(client, value):
    answer = client.post("/api/zk/eligibility/verify", json.dumps(value), "application/json")
    assert answer.status_code == 422
    assert answer.json()["code"] == "proof_malformed"


def test_a_point_off_the_curve_is_not_valid(client):
    proof = {"pi_a": ["1", "3", "1"], "pi_b": [["1", "2"], ["3", "4"], ["1", "0"]], "pi_c": ["1", "2", "1"]}
    body = json.dumps({"proof": proof, "pubSignals": ["1", "2", "3"]})
    answer = client.post("/api/zk/voice/verify", body, "application/json")
    assert answer.status_code == 200
    assert answer.json()["isValid"] is False


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
