"""REST over HTTP: shapes, refusals, caching, and no effect on refusal."""

import gzip
import json

import brotli
import pytest
from django.test import Client

from accounts.models import Role
from accounts.tests.factories import UserFactory, bearer
from audit.models import Entry
from elections import services
from elections.metadata import hash_document
from elections.models import Election, Metadata
from elections.serializers import (
    FACTS,
    BlockTimeSerializer,
    ElectionSerializer,
    ElectionSummarySerializer,
    FactSerializer,
    FactsSerializer,
    PageSerializer,
    TallySerializer,
)
from elections.tests import factories as make
from jobs.models import Job

pytestmark = pytest.mark.django_db
DOCUMENT = {"title": "A new bridge", "description": "Where should it stand?", "options": ["North", "Mill", "South"]}
JSON = "application/json"
ELECTION = "/elections/31337-5fbdb231-1"


@pytest.fixture
def admin() -> dict[str, str]:
    return bearer(UserFactory(role=Role.ADMIN))


@pytest.fixture
def citizen() -> dict[str, str]:
    return bearer(UserFactory())


def described_election(*events: object, head: int = 20, **members: object) -> Election:
    key = services.store_metadata(document=DOCUMENT)
    return make.election(1, *events, head=head, metadata_hash=key, **members)


def test_detail_says_everything(client: Client) -> None:
    described_election(make.vote(choice=1), make.vote(choice=1, at=12), make.vote(choice=2, at=13))
    make.head_at(21, safe=12, finalized=5)
    body = client.get(ELECTION).json()
    assert body["id"] == "31337-5fbdb231-1"
    assert (body["chain_id"], body["contract"], body["election_id"]) == (31337, make.CONTRACT, "1")
    assert body["metadata"] == DOCUMENT
    assert body["title"] == "A new bridge"
    assert (body["status"], body["finality"], body["turnout"]) == ("open", "latest", 3)
    assert body["tally"] == [
        {"option": 0, "label": "North", "votes": 0},
        {"option": 1, "label": "Mill", "votes": 2},
        {"option": 2, "label": "South", "votes": 1},
    ]
    assert body["start"]["block"] == 10
    assert not body["start"]["is_expected"]
    assert body["end"]["is_expected"]
    assert body["end"]["time"].endswith("Z")
    assert body["verifier"] is None
    assert {kind: fact["finality"] for kind, fact in body["facts"].items()} == {
        "created": "finalized",
        "last_vote": "latest",
    }
    assert body["facts"]["created"]["tx_hash"].startswith("0x")


def test_answers_have_the_members_that_the_schema_declares(client: Client) -> None:
    events = [make.census_root_set(at=4), make.vote(), make.tally(at=101), make.cancelled(at=102)]
    described_election(*events, verifier="0x" + "1" * 40, head=120)
    detail, row = client.get(ELECTION).json(), client.get("/elections").json()["results"][0]
    assert set(detail) == set(ElectionSerializer().fields)
    assert set(row) == set(ElectionSummarySerializer().fields)
    assert set(detail["facts"]) == set(FactsSerializer().fields) == set(FACTS)
    for fact in detail["facts"].values():
        assert set(fact) == set(FactSerializer().fields)
    assert set(detail["tally"][0]) == set(TallySerializer().fields)
    assert set(detail["start"]) == set(BlockTimeSerializer().fields)
    assert set(client.get("/elections").json()) == set(PageSerializer().fields)


def test_metadata_is_not_shown_when_it_does_not_match(client: Client) -> None:
    described_election()
    Metadata.objects.update(document={**DOCUMENT, "title": "Forged"})
    body = client.get(ELECTION).json()
    assert (body["metadata"], body["title"]) == (None, None)
    assert body["tally"][0]["label"] is None


def test_labels_for_another_number_of_options_are_not_shown(client: Client) -> None:
    described_election(options=2)
    assert client.get(ELECTION).json()["metadata"] is None


def test_list_filters_and_orders(client: Client) -> None:
    make.head_at(20)
    services.apply_events(
        events=[
            make.created(1, at=1, end_block=90),
            make.created(2, at=2, start_block=50, end_block=60),
            make.created(3, at=3, end_block=80),
            make.cancelled(3, at=5),
        ]
    )
    ids = lambda query: [row["election_id"] for row in client.get(f"/elections{query}").json()["results"]]  # noqa: E731
    assert ids("") == ["3", "2", "1"]
    assert ids("?ordering=created") == ["1", "2", "3"]
    assert ids("?ordering=ends") == ["2", "3", "1"]
    assert ids("?status=cancelled") == ["3"]
    assert ids("?status=pending") == ["2"]
    assert ids("?ordering=ends&status=open") == ids("?status=open&ordering=ends") == ["1"]


@pytest.mark.parametrize("ordering", ["-created", "created", "ends", "-ends"])
def test_pages_join_to_the_whole_list_both_ways(client: Client, ordering: str) -> None:
    make.head_at(20)
    # Ties in both columns: the key breaks them.
    services.apply_events(events=[make.created(n, at=1 + n // 3, end_block=90 + n // 4) for n in range(1, 12)])
    whole = [row["id"] for row in client.get(f"/elections?ordering={ordering}").json()["results"]]
    pages, address = [], f"/elections?ordering={ordering}&limit=4"
    while address:
        page = client.get(address).json()
        pages.append(page)
        address = page["next"]
    assert [row["id"] for page in pages for row in page["results"]] == whole
    assert [len(page["results"]) for page in pages] == [4, 4, 3]
    back = client.get(pages[2]["previous"]).json()
    assert back["results"] == pages[1]["results"]
    first = client.get(back["previous"]).json()
    assert first["results"] == pages[0]["results"]
    assert first["previous"] is None
    assert client.get(back["next"]).json()["results"] == pages[2]["results"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=1000000", "limit"),
        ("limit=0", "limit"),
        ("limit=x", "limit"),
        ("status=lost", "status"),
        ("ordering=title", "ordering"),
        ("cursor=!!!", "cursor"),
        ("cursor=WzFd", "cursor"),
        ("cursor=W10", "cursor"),
        ("page=2", "page"),
        ("limit=%00", "limit"),
        ("cursor=" + "x" * 400, "cursor"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(client: Client, query: str, field: str) -> None:
    response = client.get(f"/elections?{query}")
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["code"] == "invalid"
    assert [error["pointer"] for error in body["errors"]] == [f"/{field}"]


def test_a_cursor_of_another_ordering_is_refused(client: Client) -> None:
    make.head_at(20)
    services.apply_events(events=[make.created(n, at=n) for n in (1, 2)])
    address = client.get("/elections?limit=1").json()["next"]
    assert client.get(f"{address}&ordering=ends").status_code == 400


@pytest.mark.parametrize(
    ("public_id", "status", "code"),
    [
        ("31337-5fbdb231-99", 404, "election_not_found"),
        ("1", 400, "invalid"),
        ("31337-5FBDB231-1", 400, "invalid"),
        ("31337-5fbdb231-" + "9" * 90, 400, "invalid"),
        ("31337-5fbdb231-1%00", 400, "invalid"),
    ],
)
def test_unknown_and_malformed_ids(client: Client, public_id: str, status: int, code: str) -> None:
    make.election(1)
    response = client.get(f"/elections/{public_id}")
    assert (response.status_code, response.json()["code"]) == (status, code)


def test_a_parameter_on_one_election_is_refused(client: Client) -> None:
    make.election(1)
    assert client.get(f"{ELECTION}?fields=all").status_code == 400


@pytest.mark.parametrize("accept", ["application/json; version=2", "application/json; version=x", "text/csv"])
def test_an_unknown_version_or_type_is_refused(client: Client, accept: str) -> None:
    make.election(1)
    for address in ("/elections", ELECTION):
        response = client.get(address, headers={"Accept": accept})
        assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


@pytest.mark.parametrize(
    "accept", ["application/json; version=1", "application/json", "*/*", "text/html,*/*;q=0.8", "application/*"]
)
def test_the_known_version_is_served(client: Client, accept: str) -> None:
    make.election(1)
    response = client.get("/elections", headers={"Accept": accept})
    assert response.status_code == 200
    assert response["Content-Type"].startswith("application/json")


def test_etag_gives_304_until_something_changes(client: Client) -> None:
    make.election(1, head=20)
    for address in ("/elections", ELECTION, "/elections?limit=3"):
        etag = client.get(address)["ETag"]
        again = client.get(address, headers={"If-None-Match": etag})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
        assert client.get(address, headers={"If-None-Match": f'"x", W/{etag}'}).status_code == 304
        assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
    etag = client.get("/elections")["ETag"]
    services.publish_changes(services.apply_events(events=[make.vote()]))
    assert client.get("/elections", headers={"If-None-Match": etag}).status_code == 200


def test_bodies_are_the_same_in_every_encoding(client: Client) -> None:
    make.election(1)
    plain = client.get("/elections")
    zipped = client.get("/elections", headers={"Accept-Encoding": "gzip, deflate"})
    brotlied = client.get("/elections", headers={"Accept-Encoding": "gzip, br"})
    assert gzip.decompress(zipped.content) == brotli.decompress(brotlied.content) == plain.content
    assert len({response["ETag"] for response in (plain, zipped, brotlied)}) == 3
    assert (zipped["Content-Encoding"], brotlied["Content-Encoding"]) == ("gzip", "br")
    assert "Accept-Encoding" in plain["Vary"]
    refused = client.get("/elections", headers={"Accept-Encoding": "br;q=0, gzip;q=0"})
    assert "Content-Encoding" not in refused


def test_a_kept_body_costs_no_query(client: Client, django_assert_num_queries) -> None:
    make.election(1)
    with django_assert_num_queries(3):
        client.get("/elections")
    with django_assert_num_queries(0):
        client.get("/elections")
    with django_assert_num_queries(3):
        client.get(ELECTION)
    with django_assert_num_queries(0):
        client.get(ELECTION)


def test_a_wrong_token_is_refused_even_where_none_is_needed(client: Client) -> None:
    make.election(1)
    assert client.get("/elections", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_creating_takes_an_admin_and_starts_a_job(client: Client, admin: dict, citizen: dict) -> None:
    make.head_at(20)
    new = {"metadata": DOCUMENT, "start_block": 30, "end_block": 60}
    send = lambda headers: client.post("/elections", new, content_type="application/json", headers=headers)  # noqa: E731
    assert send({}).status_code == 401
    assert send(citizen).status_code == 403
    assert not Job.objects.exists()
    assert not Metadata.objects.exists()

    response = send({**admin, "Idempotency-Key": "one"})
    assert response.status_code == 202, response.content
    body = response.json()
    job = Job.objects.get()
    assert response["Location"] == body["status_url"] == f"/jobs/{job.pk}"
    assert job.type == "chain.create_election"
    assert job.input == {
        "metadata_hash": f"0x{hash_document(DOCUMENT).hex()}",
        "start_block": 30,
        "end_block": 60,
        "options": 3,
        "census_root": None,
        "verifier": None,
    }
    assert Metadata.objects.get().document == DOCUMENT
    assert "elections.election.requested" in Entry.objects.values_list("action", flat=True)
    assert send({**admin, "Idempotency-Key": "one"}).json()["job_id"] == body["job_id"]
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"start_block": 20}, "/start_block"),
        ({"end_block": 30}, "/end_block"),
        ({"start_block": "soon"}, "/start_block"),
        ({"start_block": 2**64}, "/start_block"),
        ({"verifier": "0x12"}, "/verifier"),
        ({"census_root": "0x" + "1" * 64}, "/census_root"),
        ({"census_root": "0x" + "f" * 64, "verifier": "0x" + "1" * 40}, "/census_root"),
        ({"metadata": None}, "/metadata"),
        ({"metadata": {**DOCUMENT, "options": ["Only one"]}}, "/metadata/options"),
        ({"metadata": {**DOCUMENT, "image": "x"}}, "/metadata/image"),
        ({"metadata": {**DOCUMENT, "title": ""}}, "/metadata/title"),
        ({"colour": "red"}, "/colour"),
    ],
)
def test_a_bad_election_is_refused_without_effect(client: Client, admin: dict, change: dict, pointer: str) -> None:
    make.head_at(20)
    new = {"metadata": DOCUMENT, "start_block": 30, "end_block": 60} | change
    response = client.post("/elections", new, content_type="application/json", headers=admin)
    assert response.status_code == 400, response.content
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert not Job.objects.exists()
    assert not Metadata.objects.exists()


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 5000, b"nan"])
def test_a_body_that_is_no_object_is_refused(client: Client, admin: dict, body: bytes) -> None:
    response = client.post("/elections", body, content_type="application/json", headers=admin)
    assert response.status_code == 400
    assert response["Content-Type"] == "application/problem+json"


def test_cancelling_and_finalising_follow_the_status(client: Client, admin: dict, citizen: dict) -> None:
    make.election(1, head=20)
    assert client.post(f"{ELECTION}/cancel", content_type=JSON, headers=citizen).status_code == 403
    early = client.post(f"{ELECTION}/finalise", content_type=JSON, headers=admin)
    assert (early.status_code, early.json()["code"]) == (409, "election_not_closed")
    meant = client.post(f"{ELECTION}/cancel", {"dry_run": True}, content_type=JSON, headers=admin)
    assert (meant.status_code, meant.json()["errors"][0]["code"]) == (400, "unknown_field")
    assert not Job.objects.exists()
    assert client.post(f"{ELECTION}/cancel", content_type=JSON, headers=admin).status_code == 202
    make.head_at(100)
    ended = client.post(f"{ELECTION}/cancel", content_type=JSON, headers=admin)
    assert (ended.status_code, ended.json()["code"]) == (409, "election_closed")
    assert client.generic("POST", f"{ELECTION}/finalise", headers=admin).status_code == 202
    assert [job.input["election_id"] for job in Job.objects.all()] == [1, 1]
    services.apply_events(events=[make.cancelled(at=101)])
    for action in ("cancel", "finalise"):
        late = client.post(f"{ELECTION}/{action}", content_type=JSON, headers=admin)
        assert (late.status_code, late.json()["code"]) == (409, "election_finished")
    assert client.post("/elections/31337-5fbdb231-9/cancel", content_type=JSON, headers=admin).status_code == 404


def test_anyone_signed_in_may_bring_the_metadata_that_an_election_names(client: Client, citizen: dict) -> None:
    key = hash_document(DOCUMENT)
    own = key.hex()
    put = lambda document, name=own: client.put(  # noqa: E731
        f"/metadata/0x{name}", document, content_type="application/json", headers=citizen
    )
    assert put(DOCUMENT).json()["code"] == "metadata_not_referenced"
    make.election(1, metadata_hash=key)
    assert client.get(ELECTION).json()["metadata"] is None
    assert put({**DOCUMENT, "title": "Another"}).json()["code"] == "metadata_hash_mismatch"
    assert client.put(f"/metadata/0x{key.hex()}", DOCUMENT, content_type="application/json").status_code == 401
    assert not Metadata.objects.exists()
    assert put(DOCUMENT).status_code == 200
    assert Metadata.objects.get().document == DOCUMENT
    assert put(DOCUMENT, "zz").status_code == 404


def test_the_hash_does_not_depend_on_the_order_of_members() -> None:
    turned = json.loads(json.dumps(dict(reversed(DOCUMENT.items()))))
    assert hash_document(turned) == hash_document(DOCUMENT)
    # RFC 8785 over this document, by hand.
    canonical = b'{"description":"","options":["a","b"],"title":"\xc3\xa9"}'
    import hashlib

    assert hash_document({"title": "é", "options": ["a", "b"], "description": ""}) == hashlib.sha256(canonical).digest()


def test_numbers_past_64_bits_are_served(client: Client) -> None:
    huge = 2**200
    make.election(huge, make.tally(huge, (huge, 1, 0)), end_block=huge, head=6)
    body = client.get(f"/elections/31337-5fbdb231-{huge}").json()
    assert body["tally"][0]["votes"] == huge
    assert body["end"] == {"block": huge, "time": None, "is_expected": True}
