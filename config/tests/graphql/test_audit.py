"""The audit log over GraphQL is REST's."""

import pytest

from accounts.tests.factories import UserFactory, bearer
from audit.services import record, sequence_all
from config.tests.graphql import ask, codes_of, data_of, snake

pytestmark = pytest.mark.django_db


ENTRIES = """query ($action: String, $before: ID, $limit: Int) {
  auditEntries(action: $action, before: $before, limit: $limit) {
    next results { id seq createdAt action actor target data requestId entryHash } } }"""


@pytest.mark.slow
def test_audit_entries_are_rests(client, admin, django_assert_num_queries):
    for number in range(100):
        record(action="tests.thing.done", target=f"thing:{number}", data={"number": number})
    headers = bearer(admin)
    with django_assert_num_queries(2):  # the caller, the page
        page = data_of(ask(client, ENTRIES, {"action": "tests", "limit": 100}, headers=headers))["auditEntries"]
    rest = client.get("/audit/entries?action=tests&limit=100", headers=headers).json()
    assert [snake(entry) for entry in page["results"]] == rest["results"]
    assert page["next"] == rest["next"]
    first = data_of(ask(client, ENTRIES, {"action": "tests", "limit": 60}, headers=headers))["auditEntries"]
    second = data_of(ask(client, ENTRIES, {"action": "tests", "before": first["next"]}, headers=headers))[
        "auditEntries"
    ]
    assert len(second["results"]) == 40
    assert codes_of(ask(client, ENTRIES, {"limit": 501}, headers=headers)) == [("invalid", 400)]
    since = "query ($since: DateTime) { auditEntries(since: $since, seq: null) { results { id } } }"
    for moment in ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00+02:00"):
        assert len(data_of(ask(client, since, {"since": moment}, headers=headers))["auditEntries"]["results"]) == 100
        query = f'{{ auditEntries(until: "{moment}", seq: 3) {{ results {{ id }} }} }}'
        assert data_of(ask(client, query, headers=headers)) == {"auditEntries": {"results": []}}
    for wrong in ("yesterday", "2020-13-01T00:00:00Z", "2020-01-01T00:00:00", 7):
        assert codes_of(ask(client, since, {"since": wrong}, headers=headers)) == [("invalid_variables", 400)]
    seq = "query ($seq: BigInt) { auditEntries(seq: $seq) { results { id } } }"
    for wrong in ("7", 1.5, True):
        assert codes_of(ask(client, seq, {"seq": wrong}, headers=headers)) == [("invalid_variables", 400)]
    viewer = UserFactory(role="viewer")
    rest = client.get("/audit/entries", headers=bearer(viewer))
    assert codes_of(ask(client, ENTRIES, headers=bearer(viewer))) == [(rest.json()["code"], rest.status_code)]


RECEIPT = "query ($id: ID!) { auditReceipt(id: $id) { id proof } }"
CHECKPOINT = "{ auditCheckpoint { treeSize rootHash note createdAt } }"


@pytest.mark.slow
def test_receipts_and_checkpoints_are_public(client):
    entry = record(action="tests.thing.done")
    for answer, path in (
        (ask(client, RECEIPT, {"id": str(entry)}), f"/audit/proof?id={entry}"),
        (ask(client, CHECKPOINT), "/audit/checkpoint"),
    ):
        rest = client.get(path)
        assert codes_of(answer) == [(rest.json()["code"], rest.status_code)]
    assert codes_of(ask(client, RECEIPT, {"id": "x"})) == [("invalid", 400)]


@pytest.mark.django_db(transaction=True)
def test_proofs_are_rests(client):
    entry = record(action="tests.thing.done")
    sequence_all()
    found = data_of(ask(client, RECEIPT, {"id": str(entry)}))["auditReceipt"]
    assert found["proof"] == client.get(f"/audit/proof?id={entry}").content.decode()
    found = data_of(ask(client, CHECKPOINT))["auditCheckpoint"]
    assert found["note"] == client.get("/audit/checkpoint").content.decode()
    assert found["treeSize"] == 1
