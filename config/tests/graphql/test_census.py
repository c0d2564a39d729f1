"""The census of a secret ballot over GraphQL is REST's."""

import pytest

from accounts.tests.factories import IdentityFactory, UserFactory, bearer
from apikeys.tests.factories import api_key, make_key
from config.tests.graphql import ask, codes_of, data_of, snake
from elections import services
from elections.models import CensusMember
from elections.tests import factories as chain
from jobs.models import Job
from zk.client import VoterIdentity

pytestmark = pytest.mark.django_db

CENSUS = """query ($id: ID!, $limit: Int) { census(id: $id) {
  election scope isOpen registrationEnds size depth root rootOnChain commitments(offset: 0, limit: $limit) } }"""
PROOF = "query ($id: ID!, $c: String!) { censusProof(id: $id, commitment: $c) { root leaf index siblings } }"
REGISTER = """mutation ($id: ID!, $input: Registration!) {
  registerVoter(id: $id, input: $input) { index commitment size } }"""
CLOSE = "mutation ($id: ID!, $key: String) { closeCensus(id: $id, idempotencyKey: $key) { job { jobId status } } }"


@pytest.fixture
def election(settings):
    settings.ELECTIONS_CENSUS_CLOSING_BLOCKS = 5
    return chain.election(verifier="0x" + "ab" * 20, start_block=50, end_block=100)


def given(election, identity=None):
    body = (identity or VoterIdentity.generate()).registration(services.scope_of(election))
    return {"id": election.public_id, "input": {"publicKey": body["public_key"], "signature": body["signature"]}}


def test_registration_census_and_proof_are_rests(client, election, django_assert_num_queries):
    user, identity = UserFactory(), VoterIdentity.generate()
    IdentityFactory(user=user)
    member = data_of(ask(client, REGISTER, given(election, identity), headers=bearer(user)))["registerVoter"]
    assert member == {"index": 0, "commitment": str(identity.commitment), "size": 1}
    again = data_of(ask(client, REGISTER, given(election, identity), headers=bearer(user)))["registerVoter"]
    assert again == member
    with django_assert_num_queries(5):  # the election with its document and head, its census, the members
        found = data_of(ask(client, CENSUS, {"id": election.public_id, "limit": 10}))["census"]
    assert snake(found) == client.get(f"/elections/{election.public_id}/census?limit=10").json()
    asked = {"id": election.public_id, "c": member["commitment"]}
    address = f"/elections/{election.public_id}/census/proof?commitment={member['commitment']}"
    assert data_of(ask(client, PROOF, asked))["censusProof"] == client.get(address).json()


def test_refusals_have_rests_codes_and_no_effect(client, election):
    address = f"/elections/{election.public_id}/census"
    citizen = bearer(UserFactory())
    wrong = given(election)
    wrong["input"]["publicKey"] = ["1", "0x2"]
    rest = {"public_key": ["1", "0x2"], "signature": wrong["input"]["signature"]}
    [error] = ask(client, REGISTER, wrong, headers=citizen).json()["errors"]
    refused = client.post(address, rest, "application/json", headers=citizen)
    assert error["extensions"]["errors"] == refused.json()["errors"]
    for headers in (None, citizen):
        refused = client.post(address, rest | {"public_key": ["1", "2"]}, "application/json", headers=headers)
        wrong["input"]["publicKey"] = ["1", "2"]
        codes = codes_of(ask(client, REGISTER, wrong, headers=headers))
        assert codes == [(refused.json()["code"], refused.status_code)]
    for query, variables in (
        (CENSUS, {"id": "31337-5fbdb231-99"}),
        (PROOF, {"id": election.public_id, "c": "7"}),
        (PROOF, {"id": election.public_id, "c": "0x7"}),
    ):
        assert codes_of(ask(client, query, variables))[0][0] in {"election_not_found", "not_in_census", "invalid"}
    assert codes_of(ask(client, CENSUS, {"id": election.public_id, "limit": 10_001})) == [("invalid", 400)]
    assert not CensusMember.objects.exists()


def test_registration_is_ended_by_administrators(client, election):
    voter, admin = UserFactory(), UserFactory(role="admin")
    IdentityFactory(user=voter)
    data_of(ask(client, REGISTER, given(election), headers=bearer(voter)))
    asked = {"id": election.public_id, "key": "k"}
    assert codes_of(ask(client, CLOSE, asked, headers=bearer(voter))) == [("permission_denied", 403)]
    done = data_of(ask(client, CLOSE, asked, headers=bearer(admin)))["closeCensus"]["job"]
    assert Job.objects.get().pk.hex == done["jobId"].replace("-", "")
    refused = ask(client, REGISTER, given(election), headers=bearer(admin))
    assert codes_of(refused)[0][1] >= 400
    assert CensusMember.objects.count() == 1


def test_a_key_registers_nobody(client, election):
    _, text = make_key(scopes=["graphql", "elections:read", "elections:write"])
    assert codes_of(ask(client, REGISTER, given(election), headers=api_key(text))) == [("api_key_not_accepted", 403)]
    assert data_of(ask(client, CENSUS, {"id": election.public_id}, headers=api_key(text)))["census"]["size"] == 0


def test_members_cost_what_they_are(client, election, settings):
    settings.GRAPHQL_MAX_COST = 100
    refused = ask(client, CENSUS, {"id": election.public_id, "limit": 200})
    assert codes_of(refused) == [("too_costly", 400)]
