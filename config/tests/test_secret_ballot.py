"""A secret ballot from end to end: sign-in, registration, root on chain, proof, vote, tally; and its attacks."""

import json

import pytest
from django.test import Client

from accounts.tests.conftest import oidc, oidc_session, sign_in
from accounts.tests.factories import UserFactory, bearer
from chain.abi import artifact
from chain.tests.conftest import ground, index_once, make_indexer
from chain.tests.factories import Ground
from elections.models import Election
from jobs.models import JobStatus
from jobs.tests.inline import run_queued_jobs
from zk.client import VoterIdentity
from zk.services import election_scope
from zk.tests.evm import Node, Reverted, function
from zk.tests.test_reference import ask_voter

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]
__all__ = ["ground", "index_once", "make_indexer", "oidc", "oidc_session"]
VOTE = "voteWithProof(uint256,uint8,uint256,uint256[8])"


def token_of(person: str) -> dict[str, str]:
    """Sign a person in at the certified provider and return the headers of their access token."""
    pair = sign_in(Client(), person, response="token").json()
    return {"Authorization": f"Bearer {pair['access_token']}"}


def post(address: str, headers: dict[str, str], body: dict | None = None):
    return Client().post(address, json.dumps(body or {}), "application/json", headers=headers)


def run_jobs() -> None:
    for job in run_queued_jobs():
        assert job.status == JobStatus.SUCCEEDED, (job.type, job.problem)


def prove_here(headers: dict[str, str], body: dict) -> dict:
    """Have the server prove, as somebody without a device of their own does."""
    asked = post("/api/zk/eligibility", headers, body)
    assert asked.status_code in {200, 202}, asked.content
    if asked.status_code == 200:
        return asked.json()
    run_jobs()
    return Client().get(asked["Location"], headers=headers).json()


@pytest.fixture
def node(ground: Ground) -> Node:
    node = Node(ground.url)
    from eth_hash.auto import keccak

    for entry in artifact("ElectionManager")["abi"]:
        if entry["type"] == "error":
            types = ",".join(one["type"] for one in entry["inputs"])
            node.errors["0x" + keccak(f"{entry['name']}({types})".encode())[:4].hex()] = entry["name"]
    return node


def test_a_secret_ballot_from_sign_in_to_tally(ground, index_once, node, oidc, settings):
    settings.CHAIN_RPC_URLS = [ground.url]
    settings.CHAIN_CONTRACTS = [f"psephos@{ground.manager}@1"]
    settings.ELECTIONS_CENSUS_CLOSING_BLOCKS = 5
    verifier = ground.deploy("SemaphoreVerifier")
    admin = bearer(UserFactory(role="admin"))
    index_once()

    # The election, asked for over the API and mined by a job.
    start = ground.height + 60
    created = post(
        "/elections",
        admin,
        {
            "metadata": {"title": "Board", "description": "", "options": ["A", "B", "C"]},
            "start_block": start,
            "end_block": start + 100,
            "verifier": verifier,
        },
    )
    assert created.status_code == 202, created.content
    run_jobs()
    index_once()
    election = Election.objects.get()
    address = f"/elections/{election.public_id}"
    census = Client().get(f"{address}/census").json()
    scope = int(census["scope"])
    assert census["is_open"]
    assert scope == election_scope(chain_id=31337, contract=ground.manager, election_id=int(election.election_id))
    on_chain = node.read(ground.manager, function("scopeOf(uint256)", int(election.election_id)))
    assert int.from_bytes(on_chain, "big") == scope

    # Two citizens sign in with their eID and register: one by our client, one by Semaphore's own libraries.
    first, second = token_of("local-citizen"), token_of("local-viewer")
    ours, key = VoterIdentity.generate(), "the second citizen's device"
    [registration] = ask_voter({"op": "register", "private_key": key, "scope": str(scope)})
    assert post(f"{address}/census", first, ours.registration(scope)).status_code == 201
    assert post(f"{address}/census", second, registration).status_code == 201
    # A person registers once, and only an identity of theirs.
    twice = post(f"{address}/census", first, VoterIdentity.generate().registration(scope))
    assert twice.json()["code"] == "already_registered"

    # Registration ends by height; the root goes on chain by a job.
    ground.mine(start - 5 - ground.height)
    index_once()
    run_jobs()
    index_once()
    census = Client().get(f"{address}/census?limit=10").json()
    assert not census["is_open"]
    assert census["root_on_chain"] == census["root"]

    def vote(choice: int, nullifier: int, points: list[int]):
        return node.send(ground.manager, function(VOTE, int(election.election_id), choice, nullifier, points))

    def refused(*arguments, because: str):
        with pytest.raises(Reverted, match=because):
            vote(*arguments)

    merkle_proof = Client().get(f"{address}/census/proof?commitment={ours.commitment}").json()
    made = prove_here(first, ours.proof_input(merkle_proof=merkle_proof, scope=scope, choice=1))
    assert made["signals"]["merkleRoot"] == census["root"]
    nullifier, points = int(made["signals"]["nullifier"]), [int(word) for word in made["points"]]
    refused(1, nullifier, points, because="VotingNotStarted")
    ground.mine(start - ground.height)

    # Changed on its way: another choice, another nullifier, another election.
    refused(2, nullifier, points, because="InvalidProof")
    refused(1, nullifier + 1, points, because="InvalidProof")
    elsewhere = ours.prove_vote(merkle_proof=merkle_proof, scope=scope + 1, choice=1)
    assert elsewhere.nullifier != nullifier
    refused(1, elsewhere.nullifier, elsewhere.proof, because="InvalidProof")
    stranger = VoterIdentity.generate().prove_vote(merkle_proof=merkle_proof, scope=scope, choice=1)
    refused(1, stranger.nullifier, stranger.proof, because="InvalidProof")

    vote(1, nullifier, points)
    index_once()
    assert Client().get(address).json()["turnout"] == 1

    # A second vote of the same person: a new proof for another choice has the same nullifier.
    again = ours.prove_vote(merkle_proof=merkle_proof, scope=scope, choice=2)
    assert again.nullifier == nullifier
    refused(2, again.nullifier, again.proof, because="AlreadyVoted")
    refused(1, nullifier, points, because="AlreadyVoted")

    # Semaphore's own libraries, from the public list of commitments: no leaf is named to anybody.
    [theirs] = ask_voter(
        {
            "op": "prove",
            "private_key": key,
            "commitments": census["commitments"],
            "message": "2",
            "scope": str(scope),
        }
    )
    choice, their_nullifier, their_points = theirs["arguments"]
    vote(int(choice), int(their_nullifier), [int(word) for word in their_points])

    ground.mine(100)
    index_once()
    tally = post(f"{address}/finalise", admin)
    assert tally.status_code == 202, tally.content
    run_jobs()
    index_once()
    shown = Client().get(address).json()
    assert shown["status"] == "tallied"
    assert [option["votes"] for option in shown["tally"]] == [0, 1, 1]
    assert shown["turnout"] == 2
