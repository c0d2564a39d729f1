"""The log for administrators: REST and Django admin."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import Client

from accounts.models import Role
from accounts.tests.factories import UserFactory, bearer
from audit.models import Entry
from audit.services import record, record_anchor, sequence_all, verify_log
from audit.tests.factories import tamper, write

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def admin(client):
    return UserFactory(role=Role.ADMIN)


def test_entries_are_for_administrators(client):
    assert client.get("/audit/entries").status_code == 401
    for role in (Role.CITIZEN, Role.VIEWER):
        assert client.get("/audit/entries", headers=bearer(UserFactory(role=role))).status_code == 403


def test_entries_are_listed_filtered_and_paged(client, admin, django_assert_max_num_queries):
    write(30)
    with_all = record(
        action="elections.election.cancelled", actor="user:7", target="election:31337/0xabc/5", data={"why": "x"}
    )
    sequence_all()
    headers = bearer(admin)
    with django_assert_max_num_queries(4):
        page = client.get("/audit/entries?limit=10&action=tests.written", headers=headers).json()
    assert len(page["results"]) == 10
    assert [entry["seq"] for entry in page["results"]] == sorted(
        (entry["seq"] for entry in page["results"]), reverse=True
    )
    rest = client.get(f"/audit/entries?limit=500&action=tests&before={page['next']}", headers=headers).json()
    assert (len(rest["results"]), rest["next"]) == (20, None)
    now = datetime.now(UTC)
    for query in (
        "actor=user:7", "target=election:31337/0xabc/5", "action=elections", "action=elections.election.cancelled",
        "search=cancelled user:7", f"seq={Entry.objects.get(pk=with_all).leaf.seq}",
    ):  # fmt: skip
        [found] = client.get(f"/audit/entries?{query}", headers=headers).json()["results"]
        assert (found["id"], found["data"], len(found["entry_hash"])) == (str(with_all), {"why": "x"}, 64)
    later = (now + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    assert client.get(f"/audit/entries?since={later}", headers=headers).json()["results"] == []
    assert client.get(f"/audit/entries?until={later}&action=tests", headers=headers).json()["results"] != []


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=501", "seq=-1", "since=yesterday", "before=7", "colour=red", "seq=" + "9" * 30]
)
def test_a_malformed_filter_is_refused(client, admin, query):
    response = client.get(f"/audit/entries?{query}", headers=bearer(admin))
    assert (response.status_code, response.json()["code"]) == (400, "invalid")


def get(role, path):
    browser = Client()
    browser.force_login(UserFactory(role=role))
    return browser.get(path)


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ADMIN])
def test_the_page_shows_the_log_and_the_last_verification(role):
    write(3)
    sequence_all()
    page = get(role, "/admin/audit/entry/").content.decode()
    assert 'data-verification="never"' in page
    assert "thing:2" in page
    verify_log(processes=1)
    assert 'data-verification="whole"' in get(role, "/admin/audit/entry/").content.decode()
    tamper("UPDATE audit_entry SET actor = 'x' WHERE id = (SELECT entry_id FROM audit_leaf WHERE seq = 2)")
    verify_log(processes=1)
    page = get(role, "/admin/audit/entry/").content.decode()
    assert 'data-verification="tampered"' in page
    assert "entry 2: actor: is &quot;x&quot;" in page


@pytest.mark.slow
def test_the_page_searches():
    write(3)
    other = record(action="tests.other", target="thing:x")
    sequence_all()
    for term, expected in (
        ("other", {"thing:x"}),
        ("tests.written thing:1", {"thing:1"}),
        ("2", {"thing:2"}),
        (str(other), {"thing:x"}),
        ("nothing", set()),
        ("99999999999999999999999", set()),
    ):
        page = get(Role.VIEWER, f"/admin/audit/entry/?q={term}").content.decode()
        assert {f"thing:{name}" for name in ("0", "1", "2", "x") if f">thing:{name}<" in page} == expected, term


def test_nothing_can_be_changed_there():
    write(1)
    sequence_all()
    entry = Entry.objects.get(action="tests.written")
    browser = Client()
    browser.force_login(UserFactory(role=Role.ADMIN))
    page = browser.get(f"/admin/audit/entry/{entry.pk}/change/")
    assert page.status_code == 200
    assert entry.leaf.body.split('"')[3] in page.content.decode()
    for path in (f"{entry.pk}/change/", f"{entry.pk}/delete/", "add/"):
        assert browser.post(f"/admin/audit/entry/{path}", {"action": "x"}).status_code == 403
    assert Entry.objects.filter(action="tests.written").count() == 1


@pytest.mark.parametrize("model", ["checkpoint", "export", "anchor", "verification"])
def test_the_other_pages_open(model):
    write(1)
    sequence_all()
    verify_log(processes=1)
    call_command("export_audit")
    record_anchor(chain_id=1, contract="0x" + "ab" * 20, tx_hash=b"t" * 32, tree_size=1, root_hash=b"r" * 32)
    assert get(Role.VIEWER, f"/admin/audit/{model}/").status_code == 200
    row = apps.get_model("audit", model).objects.get()
    page = get(Role.VIEWER, f"/admin/audit/{model}/{row.pk}/change/").content.decode()
    assert model == "checkpoint" or "an entry that waits for its number</a>" in page
    sequence_all()
    page = get(Role.VIEWER, f"/admin/audit/{model}/{row.pk}/change/").content.decode()
    assert model == "checkpoint" or re.search(r'/admin/audit/entry/[0-9a-f-]+/change/">entry [0-9]+</a>', page)
    tamper("DELETE FROM audit_entry WHERE action LIKE 'audit.log.%'")
    page = get(Role.VIEWER, f"/admin/audit/{model}/{row.pk}/change/").content.decode()
    assert model == "checkpoint" or "no entry vouches for this row" in page


def test_a_page_of_a_large_log_counts_by_estimate(monkeypatch):
    monkeypatch.setattr("audit.admin.ESTIMATE_FROM", -1)
    write(3)
    assert get(Role.VIEWER, "/admin/audit/entry/").status_code == 200


def test_a_changes_answer_names_the_receipt_that_proves_it(client, admin):
    body = {"email": "new@example.org", "role": "viewer"}
    answer = client.post("/admin/users", body, "application/json", headers=bearer(admin))
    assert answer.status_code == 201
    receipts = answer["Audit-Receipt"].split(", ")
    assert client.get("/audit/proof", {"id": receipts[0]}).json()["code"] in {"no_checkpoint", "not_yet_in_log"}
    sequence_all()
    proof = client.get("/audit/proof", {"id": receipts[0]})
    assert proof.status_code == 200
    body = json.loads(base64.b64decode(proof.content.decode().split("\n")[1].removeprefix("extra ")))
    assert (body["action"], body["actor"]) == ("accounts.user.created", f"user:{admin.pk}")
    assert "new@example.org" not in proof.content.decode() + json.dumps(body)
    refused = client.post("/admin/users", {"email": "x"}, "application/json", headers=bearer(admin))
    assert refused.status_code == 400
    assert "Audit-Receipt" not in refused
