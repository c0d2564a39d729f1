"""Elections over GraphQL are REST's: lists, pages, single ones, and what is asked of the chain."""

import pytest

from accounts.tests.factories import UserFactory, bearer
from config.tests.graphql import ask, codes_of, data_of, lower_enums, persisted, snake
from elections.metadata import hash_document
from elections.models import Metadata
from elections.tests import factories as chain
from jobs.models import Job

pytestmark = pytest.mark.django_db


def test_the_list_is_rests(client, hundred_elections):
    found = data_of(ask(client, persisted("Elections"), {"first": 50}))["elections"]
    nodes = lower_enums(snake([edge["node"] for edge in found["edges"]]))
    assert nodes == client.get("/elections?limit=50").json()["results"]


def test_one_election_is_rests(client, hundred_elections):
    public_id = client.get("/elections").json()["results"][0]["id"]
    found = lower_enums(snake(data_of(ask(client, persisted("Election"), {"id": public_id}))["election"]))
    expected = client.get(f"/elections/{public_id}").json()
    found["facts"] = {kind: fact for kind, fact in found["facts"].items() if fact is not None}
    assert found == {name: expected[name] for name in found}
    query = (
        "query ($id: ID!) { tally(id: $id) { isPublished total options { votes } } turnout(id: $id) { votes isFinal } }"
    )
    figures = data_of(ask(client, query, {"id": public_id}))
    assert figures["tally"]["total"] == figures["turnout"]["votes"] == expected["turnout"] == 1
    assert figures["turnout"]["isFinal"] is False


def test_pages_lead_forwards_and_back(client, hundred_elections):
    query = """query ($after: String, $before: String, $first: Int, $last: Int, $ordering: ElectionOrdering) {
      elections(after: $after, before: $before, first: $first, last: $last, ordering: $ordering) {
        edges { node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    seen, after = [], None
    while True:
        page = data_of(ask(client, query, {"first": 50, "after": after, "ordering": "OLDEST"}))["elections"]
        seen += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(seen) == len(set(seen)) == 120
    back = data_of(ask(client, query, {"last": 20, "before": page["pageInfo"]["startCursor"], "ordering": "OLDEST"}))
    assert [edge["node"]["id"] for edge in back["elections"]["edges"]] == seen[80:100]
    assert back["elections"]["pageInfo"]["hasPreviousPage"] is True


@pytest.mark.parametrize(
    "arguments",
    ["first: 0", "first: 101", 'after: "x"', 'first: 1, last: 1, before: "x"', "last: 3", 'after: "a", before: "b"'],
)
def test_bad_pages_are_named_as_in_rest(client, arguments):
    [error] = ask(client, f"{{ elections({arguments}) {{ edges {{ cursor }} }} }}").json()["errors"]
    assert error["extensions"]["code"] == "invalid"
    assert error["extensions"]["errors"]


def test_filters_and_nulls(client, hundred_elections):
    query = "query ($s: ElectionStatus) { elections(status: $s, first: null) { edges { node { status } } } }"
    assert len(data_of(ask(client, query, {"s": "OPEN"}))["elections"]["edges"]) == 50
    assert data_of(ask(client, query, {"s": "CANCELLED"}))["elections"]["edges"] == []


@pytest.mark.parametrize("first", [10, 100])
def test_a_lists_queries_do_not_grow_with_it(client, hundred_elections, django_assert_num_queries, first):
    query = """query ($first: Int) { elections(first: $first) { edges { node {
      title metadata { title } tally { label votes } facts { created { blockHash } } start { time } } } } }"""
    with django_assert_num_queries(3):  # the page, its metadata, the heads
        data_of(ask(client, query, {"first": first}))


def test_an_unknown_election_has_rests_code(client):
    query = "query ($id: ID!) { election(id: $id) { id } }"
    for public_id in ("31337-5fbdb231-9", "nonsense"):
        rest = client.get(f"/elections/{public_id}")
        assert codes_of(ask(client, query, {"id": public_id})) == [(rest.json()["code"], rest.status_code)]


def test_a_public_answer_is_kept_until_an_election_changes(client, django_assert_num_queries):
    from elections.services import publish_changes

    chain.election(1)
    query = "{ elections { edges { node { id turnout } } } }"
    first = data_of(ask(client, query))
    with django_assert_num_queries(0):
        assert data_of(ask(client, query)) == first
    from elections import services

    changes = services.apply_events(events=[chain.vote(1)])
    publish_changes(changes)
    assert data_of(ask(client, query))["elections"]["edges"][0]["node"]["turnout"] == 1


NEW = {
    "metadata": {"title": "T", "description": "D", "options": ["a", "b"]},
    "startBlock": 100,
    "endBlock": 200,
}
CREATE = """mutation ($input: NewElection!, $key: String) {
  createElection(input: $input, idempotencyKey: $key) { metadataHash job { jobId status } } }"""


def test_an_election_is_asked_for_as_by_rest(client, admin):
    chain.head_at(1)
    made = data_of(ask(client, CREATE, {"input": NEW, "key": "k1"}, headers=bearer(admin)))["createElection"]
    job = Job.objects.get(pk=made["job"]["jobId"])
    assert job.type == "chain.create_election"
    body = {"metadata": NEW["metadata"], "start_block": 100, "end_block": 200}
    rest = client.post("/elections", body, "application/json", headers=bearer(admin) | {"Idempotency-Key": "k1"})
    assert rest.json()["job_id"] == made["job"]["jobId"]
    assert rest.json()["metadata_hash"] == made["metadataHash"]


def test_bad_input_names_the_member_as_rest_does(client, admin):
    chain.head_at(1)
    wrong = NEW | {"endBlock": 50}
    [error] = ask(client, CREATE, {"input": wrong}, headers=bearer(admin)).json()["errors"]
    body = {"metadata": NEW["metadata"], "start_block": 100, "end_block": 50}
    rest = client.post("/elections", body, "application/json", headers=bearer(admin)).json()
    assert error["extensions"]["code"] == rest["code"]
    assert error["extensions"]["errors"] == rest["errors"]
    assert not Job.objects.exists()


def test_elections_are_cancelled_and_finalised(client, admin):
    chain.election(1, end_block=20, head=30)
    chain.election(3, start_block=10, end_block=50)
    headers = bearer(admin)
    query = """
    mutation ($ended: ID!, $runs: ID!) {
      finaliseElection(id: $ended) { job { jobId } }
      cancelElection(id: $runs) { job { jobId } }
    }
    """
    ids = {"ended": "31337-5fbdb231-1", "runs": "31337-5fbdb231-3"}
    done = data_of(ask(client, query, ids, headers=headers))
    types = [Job.objects.get(pk=done[name]["job"]["jobId"]).type for name in done]
    assert types == ["chain.finalise_election", "chain.cancel_election"]
    query = "mutation ($id: ID!) { cancelElection(id: $id) { job { jobId } } }"
    assert codes_of(ask(client, query, {"id": ids["ended"]}, headers=headers)) == [("election_closed", 409)]
    assert Job.objects.count() == 2
    chain.head_at(31)
    chain.election(2, start_block=40, end_block=50)
    query = 'mutation { finaliseElection(id: "31337-5fbdb231-2") { job { jobId } } }'
    assert codes_of(ask(client, query, headers=headers)) == [("election_not_closed", 409)]


def test_metadata_is_brought(client):
    document = {"title": "T", "description": "D", "options": ["a", "b", "c"]}
    metadata_hash = hash_document(document)
    chain.election(1, metadata_hash=metadata_hash)
    query = (
        "mutation ($h: String!, $d: NewElectionMetadata!) { bringElectionMetadata(hash: $h, document: $d) { hash } }"
    )
    headers = bearer(UserFactory())
    name = f"0x{metadata_hash.hex()}"
    assert codes_of(ask(client, query, {"h": name, "d": document})) == [("not_authenticated", 401)]
    assert codes_of(ask(client, query, {"h": "0x12", "d": document}, headers=headers)) == [("invalid", 400)]
    assert data_of(ask(client, query, {"h": name, "d": document}, headers=headers))
    assert Metadata.objects.count() == 1
