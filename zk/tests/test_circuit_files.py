"""Circuits and their files over HTTP: what a device needs to make its own proofs."""

import hashlib

import pytest

from zk.tests.asking import post
from zk.tests.inputs import voice_input

pytestmark = pytest.mark.django_db


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
