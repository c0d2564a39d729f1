"""What the proofs API does not take: told by field, and nothing starts."""

import json

import pytest
from django.core.cache import cache

from jobs.models import Job
from zk.poseidon import FIELD_MODULUS
from zk.tests.asking import post
from zk.tests.inputs import MAKERS

pytestmark = pytest.mark.django_db
P = str(FIELD_MODULUS)


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
