import base64
import hashlib
import json
from io import BytesIO
from pathlib import Path

import pytest

from audit import merkle
from audit.models import Entry, Leaf
from audit.note import open_checkpoint
from audit.selectors import get_verifier_keys
from audit.services import record, sequence_all
from audit.tests.factories import write

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def log():
    write(300)
    sequence_all()


def read_proof(text):
    header, _, checkpoint = text.partition("\n\n")
    first, *lines = header.split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    extra = base64.b64decode(lines.pop(0).removeprefix("extra ")) if lines[0].startswith("extra ") else None
    index = int(lines.pop(0).removeprefix("index "))
    return extra, index, [base64.b64decode(line) for line in lines], open_checkpoint(checkpoint, get_verifier_keys())


def test_a_receipt_can_be_proven_by_whoever_holds_it(client, log):
    entry = Entry.objects.get(data__n=123)
    response = client.get(f"/audit/proof?id={entry.pk}", headers={"Accept": "text/plain"})
    assert response.status_code == 200
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    body, index, path, checkpoint = read_proof(response.content.decode())
    assert json.loads(body)["id"] == str(entry.pk)
    assert json.loads(body)["seq"] == index
    leaf = merkle.leaf_hash(hashlib.sha256(body).digest())
    assert merkle.verify_inclusion(
        leaf=leaf, index=index, size=checkpoint.tree_size, path=path, root=checkpoint.root_hash
    )


def test_a_proof_by_number_gives_no_content_away(client, log):
    response = client.get("/audit/proof?seq=299")
    body, index, path, checkpoint = read_proof(response.content.decode())
    assert (body, index) == (None, 299)
    record = bytes(Leaf.objects.get(seq=299).entry_hash)
    assert merkle.verify_inclusion(
        leaf=merkle.leaf_hash(record), index=299, size=300, path=path, root=checkpoint.root_hash
    )


def test_a_proof_against_an_older_checkpoint(client, log):
    write(10)
    sequence_all()
    assert read_proof(client.get("/audit/proof?seq=3").content.decode())[3].tree_size == 310
    assert read_proof(client.get("/audit/proof?seq=3&size=300").content.decode())[3].tree_size == 300


REFUSALS = [
    ("seq=300", 404, "unknown_entry"),
    ("seq=9223372036854775807", 404, "unknown_entry"),
    ("seq=9223372036854775808", 400, "invalid"),
    ("seq=" + "9" * 5000, 400, "invalid"),
    ("seq=-1", 400, "invalid"),
    ("seq=1.5", 400, "invalid"),
    ("seq=one", 400, "invalid"),
    ("seq=", 400, "invalid"),
    ("seq=1%00", 400, "invalid"),
    ("", 400, "invalid"),
    ("seq=1&id=00000000-0000-7000-8000-000000000000", 400, "invalid"),
    ("seq=1&size=0", 400, "invalid"),
    ("seq=1&size=-5", 400, "invalid"),
    ("seq=1&size=7", 404, "no_checkpoint"),
    ("seq=1&size=9223372036854775807", 404, "no_checkpoint"),
    ("seq=1&colour=red", 400, "invalid"),
    ("id=00000000-0000-7000-8000-000000000000", 404, "unknown_entry"),
    ("id=7", 400, "invalid"),
]


def test_a_proof_that_cannot_be_is_refused_by_name(client, log):
    for query, status, code in REFUSALS:
        response = client.get(f"/audit/proof?{query}")
        assert (response.status_code, response.json()["code"]) == (status, code), query
    assert client.get("/audit/proof?seq=1&colour=red").json()["errors"][0]["code"] == "unknown_field"


def test_an_entry_is_provable_soon_but_not_yet(client, log):
    waiting = record(action="tests.new")
    response = client.get(f"/audit/proof?id={waiting}")
    assert (response.status_code, response.json()["code"]) == (404, "not_yet_in_log")
    assert response["Retry-After"] == "5"


def test_the_checkpoint_and_key_are_public_even_with_a_stale_token(client, log):
    key = client.get("/audit/key").content.decode().strip()
    response = client.get("/audit/checkpoint", headers={"Authorization": "Bearer stale"})
    assert response.status_code == 200
    assert response["Access-Control-Allow-Origin"] == "*"
    assert open_checkpoint(response.content.decode(), get_verifier_keys()).tree_size == 300
    assert key == str(get_verifier_keys()[0])


def test_an_empty_log_has_no_checkpoint_yet(client):
    for path in ("checkpoint", "proof?seq=0", "tile/0/000", "tile/entries/000"):
        response = client.get(f"/audit/{path}")
        assert response.status_code == 404
        assert response.json()["code"] == "no_checkpoint"


def test_the_root_can_be_rebuilt_from_public_tiles_alone(client, log):
    def fetch(path):
        response = client.get(f"/audit/{path}")
        assert response.status_code == 200
        assert "immutable" in response["Cache-Control"]
        return response.content

    tiles = {
        (level, index): fetch(merkle.tile_path(level, index, width))
        for level, index, width in merkle.tiles_over(0, 300)
    }
    root = merkle.root_hash(300, merkle.tile_reader(lambda level, index: tiles[level, index]))
    assert root == open_checkpoint(client.get("/audit/checkpoint").content.decode(), get_verifier_keys()).root_hash
    bundle = fetch("tile/entries/001.p/44")
    records = [bundle[at + 2 : at + 34] for at in range(0, len(bundle), 34)]
    assert b"".join(map(merkle.leaf_hash, records)) == tiles[0, 1]
    assert fetch("tile/0/000.p/7") == tiles[0, 0][: 7 * 32]


UNKNOWN_TILES = [
    "0/001",
    "0/001.p/45",
    "0/002.p/1",
    "2/000.p/1",
    "1/000",
    "8/000",
    "-1/000",
    "00/000",
    "x/000",
    "0/1",
    "0/000.p/0",
    "0/000.p/256",
    "entries/001",
    "entries/002.p/1",
    "entries/",
    "0/../../etc/passwd",
    "0/x999/x999/x999/x999/x999/999",
]


def test_a_tile_that_is_not_in_the_signed_tree_is_unknown(client, log):
    for path in UNKNOWN_TILES:
        response = client.get(f"/audit/tile/{path}")
        assert response.status_code == 404, path
        assert response.json()["code"] in {"unknown_tile", "not_found"}


def test_the_log_is_read_only(client):
    for path in ("checkpoint", "proof", "tile/0/000", "entries", "key"):
        for method in (client.post, client.put, client.patch, client.delete):
            assert method(f"/audit/{path}").status_code in {401, 403, 405}
    assert not Entry.objects.exists()


def test_the_documented_check_in_plain_python_holds(client, log, monkeypatch):
    text = (Path(__file__).resolve().parents[2] / "docs" / "audit-log.md").read_text()
    code = text.partition("```python\n")[2].partition("```")[0]
    for entry in Entry.objects.filter(data__n__in=[0, 123, 255, 256, 299]):
        answer = client.get(f"/audit/proof?id={entry.pk}").content
        monkeypatch.setattr("urllib.request.urlopen", lambda url, answer=answer: BytesIO(answer))
        exec(code, {"log": "http://log.example", "receipt": entry.pk})
