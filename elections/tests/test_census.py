"""The census: registration with proof of possession, the tree in the database, its end on the chain."""

import json
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.test import Client

from accounts.tests.factories import IdentityFactory, UserFactory, bearer
from audit.models import Entry
from elections import services
from elections.census_selectors import get_merkle_proof
from elections.models import Census, CensusMember
from elections.tests import factories
from jobs.models import Job
from zk.client import VoterIdentity
from zk.services import LeanIMT, verify_merkle_proof

pytestmark = pytest.mark.django_db
VERIFIER = "0x" + "ab" * 20


def voter(subject: str | None = None):
    """A citizen with an eID, and a Semaphore identity of theirs."""
    user = UserFactory()
    IdentityFactory(user=user, **({"subject": subject} if subject else {}))
    return user, VoterIdentity.generate()


@pytest.fixture
def election(settings):
    settings.ELECTIONS_CENSUS_CLOSING_BLOCKS = 5
    return factories.election(verifier=VERIFIER, start_block=50, end_block=100)


def register(election, user, identity, client=None, **changes):
    body = identity.registration(services.scope_of(election)) | changes
    return (client or Client()).post(
        f"/elections/{election.public_id}/census", json.dumps(body), "application/json", headers=bearer(user)
    )


def state(election):
    return Client().get(f"/elections/{election.public_id}/census").json()


@pytest.mark.slow
def test_a_census_grows_by_registrations_and_equals_a_lean_imt(election):
    commitments = []
    for number in range(1, 12):
        user, identity = voter()
        answer = register(election, user, identity)
        assert answer.status_code == 201, answer.content
        assert answer.json() == {"index": number - 1, "commitment": str(identity.commitment), "size": number}
        commitments.append(identity.commitment)
        tree = LeanIMT(commitments)
        assert state(election)["root"] == str(tree.root)
        for index, commitment in enumerate(commitments):
            assert get_merkle_proof(public_id=election.public_id, commitment=commitment) == tree.prove(index)
    listed = Client().get(f"/elections/{election.public_id}/census?offset=3&limit=4").json()["commitments"]
    assert listed == [str(commitment) for commitment in commitments[3:7]]


@pytest.mark.slow
def test_a_members_proof_is_public_and_leads_to_the_root(election, django_assert_num_queries):
    identities = []
    for _ in range(5):
        user, identity = voter()
        register(election, user, identity)
        identities.append(identity)
    address = f"/elections/{election.public_id}/census/proof?commitment={identities[2].commitment}"
    proof = Client().get(address).json()
    assert proof["root"] == state(election)["root"]
    # One statement, hence of one moment: a registration in between moves the root and the path's nodes.
    with django_assert_num_queries(1):
        assert Client().get(address).json() == proof
    unknown = Client().get(f"/elections/{election.public_id}/census/proof?commitment=7")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "not_in_census")
    assert Client().get(f"/elections/{election.public_id}/census/proof?commitment=0x7").status_code == 400
    assert Client().get(f"/elections/{election.public_id}/census/proof").status_code == 400
    assert Client().get("/elections/31337-5fbdb231-99/census/proof?commitment=7").json()["code"] == "election_not_found"


def test_registering_again_gives_back_the_first_and_another_identity_is_refused(election):
    user, identity = voter()
    first = register(election, user, identity)
    again = register(election, user, identity)
    assert (again.status_code, again.json()) == (200, first.json())
    other = register(election, user, VoterIdentity.generate())
    assert (other.status_code, other.json()["code"]) == (409, "already_registered")
    assert state(election)["size"] == 1


def test_one_eid_registers_once_through_two_accounts(election):
    first, identity = voter("same-person")
    second = UserFactory()
    IdentityFactory(user=second, issuer="https://other.example", subject="same-person")
    register(election, first, identity)
    # Another provider's subject of the same text is another person.
    assert register(election, second, VoterIdentity.generate()).status_code == 201
    assert len(set(CensusMember.objects.values_list("subject_digest", flat=True))) == 2
    assert not CensusMember.objects.filter(subject_digest__contains="same-person").exists()


def test_somebody_elses_identity_cannot_be_registered(election):
    owner, identity = voter()
    thief, own = voter()
    signed = identity.registration(services.scope_of(election))
    forged = own.registration(services.scope_of(election)) | {"public_key": signed["public_key"]}
    answer = register(election, thief, own, **forged)
    assert (answer.status_code, answer.json()["code"]) == (422, "possession_not_proved")
    # Even with a signature that was seen: the identity is the owner's already.
    register(election, owner, identity)
    replayed = register(election, thief, identity)
    assert (replayed.status_code, replayed.json()["code"]) == (409, "commitment_taken")
    assert state(election)["size"] == 1


def test_a_signature_over_another_elections_scope_is_refused(election):
    other = factories.election(2, verifier=VERIFIER, start_block=50)
    user, identity = voter()
    answer = register(other, user, identity, **identity.registration(services.scope_of(election)))
    assert answer.json()["code"] == "possession_not_proved"


@pytest.mark.parametrize(
    "changes",
    [
        {"public_key": ["0", "1"]},
        {"public_key": ["0", "21888242871839275222246405745257275088548364400416034343698204186575808495616"]},
        {"public_key": ["1", "1"]},
        {"public_key": [str(2**250), str(2**251)]},
    ],
)
def test_keys_outside_of_the_prime_subgroup_are_refused(election, changes):
    user, identity = voter()
    answer = register(election, user, identity, **changes)
    assert (answer.status_code, answer.json()["code"]) == (422, "possession_not_proved")
    assert not CensusMember.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"public_key": ["1"], "signature": {}},
        {"public_key": [1, 2], "signature": {"r8": ["1", "2"], "s": "1"}},
        {"public_key": ["-1", "2"], "signature": {"r8": ["1", "2"], "s": "1"}},
        {"public_key": ["1", "2"], "signature": {"r8": ["1", "2"], "s": "1"}, "commitment": "5"},
    ],
)
def test_malformed_registrations_are_refused(election, client, body):
    user, _ = voter()
    answer = client.post(
        f"/elections/{election.public_id}/census", json.dumps(body), "application/json", headers=bearer(user)
    )
    assert answer.status_code == 400
    assert not CensusMember.objects.exists()


def test_registering_needs_a_sign_in_with_an_eid(election, client):
    identity = VoterIdentity.generate()
    body = json.dumps(identity.registration(services.scope_of(election)))
    address = f"/elections/{election.public_id}/census"
    assert client.post(address, body, "application/json").status_code == 401
    answer = register(election, UserFactory(), identity)
    assert (answer.status_code, answer.json()["code"]) == (403, "eid_required")
    assert not CensusMember.objects.exists()


def test_open_ballots_and_fixed_censuses_have_no_registration():
    user, identity = voter()
    for election in (
        factories.election(verifier=None),
        factories.election(2, verifier=VERIFIER, census_root=7, start_block=50),
    ):
        answer = register(election, user, identity)
        assert (answer.status_code, answer.json()["code"]) == (409, "no_census")
        assert not state(election)["is_open"]


def test_registration_ends_before_the_start_and_the_root_is_sent_once(election):
    user, identity = voter()
    register(election, user, identity)
    factories.head_at(44)
    assert not Job.objects.filter(type="chain.set_census_root").exists()
    factories.head_at(45)
    factories.head_at(46)
    job = Job.objects.get(type="chain.set_census_root")
    assert job.input == {
        "chain_id": election.chain_id,
        "contract": election.contract,
        "election_id": 1,
        "census_root": f"0x{identity.commitment:064x}",
    }
    assert Entry.objects.filter(action="elections.census.closed").count() == 1
    late = register(election, *voter())
    assert (late.status_code, late.json()["code"]) == (409, "registration_closed")
    # Who is in may still ask where.
    assert register(election, user, identity).status_code == 200


def test_registration_is_closed_by_height_even_with_an_empty_census(election):
    factories.head_at(45)
    assert not Job.objects.filter(type="chain.set_census_root").exists()
    late = register(election, *voter())
    assert (late.status_code, late.json()["code"]) == (409, "registration_closed")


def test_an_admin_may_end_registration_early(election):
    address = f"/elections/{election.public_id}/census/close"
    admin = bearer(UserFactory(role="admin"))
    assert Client().post(address).status_code == 401
    assert Client().post(address, headers=bearer(UserFactory(role="viewer"))).status_code == 403
    empty = Client().post(address, content_type="application/json", headers=admin)
    assert (empty.status_code, empty.json()["code"]) == (409, "census_empty")
    assert not Job.objects.exists()
    register(election, *voter())
    assert Client().post(address, content_type="application/json", headers=admin).status_code == 202
    assert not state(election)["is_open"]
    assert register(election, *voter()).json()["code"] == "registration_closed"


def test_a_registration_leaves_an_audit_entry_that_does_not_tell_the_commitment(election):
    user, identity = voter()
    register(election, user, identity)
    entry = Entry.objects.get(action="elections.census.registered")
    assert entry.target == election.target
    assert str(identity.commitment) not in json.dumps(entry.data)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_twenty_people_at_once_get_twenty_places(settings):
    settings.ELECTIONS_CENSUS_CLOSING_BLOCKS = 5
    election = factories.election(verifier=VERIFIER, start_block=50, end_block=100)
    people = [voter() for _ in range(20)]

    def run(person):
        try:
            return register(election, *person).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(run, people)) == {201}
    census = Census.objects.get()
    leaves = list(census.members.order_by("index").values_list("commitment", flat=True))
    assert len(leaves) == 20
    assert census.root == LeanIMT(leaves).root


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_one_person_at_once_with_many_identities_gets_one_place(settings):
    settings.ELECTIONS_CENSUS_CLOSING_BLOCKS = 5
    election = factories.election(verifier=VERIFIER, start_block=50, end_block=100)
    user, _ = voter()

    def run(_):
        try:
            return register(election, user, VoterIdentity.generate()).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(run, range(16)))
    assert sorted(codes) == [201] + [409] * 15


@pytest.mark.slow
@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_staff_look_registrations_up_and_learn_and_change_nothing_of_a_person(election, client, role):
    people = [voter() for _ in range(3)]
    for person in people:
        register(election, *person)
    client.force_login(UserFactory(role=role))
    members = list(CensusMember.objects.order_by("index"))
    address = "/admin/elections/censusmember/"
    change = f"{address}{members[1].pk}/change/"
    pages = {
        term: client.get(address, {"q": term}).content.decode()
        for term in ("", election.public_id, str(members[1].commitment), "31337-00000000-1", str(2**255))
    }
    shown = {term: [str(one.commitment) in page for one in members] for term, page in pages.items()}
    assert list(shown.values()) == [[True] * 3, [True] * 3, [False, True, False], [False] * 3, [False] * 3]
    detail = client.get(change).content.decode()
    assert election.public_id in detail
    assert str(members[1].commitment) in detail
    for page in (*pages.values(), detail, client.get(f"{address}{members[1].pk}/history/").content.decode()):
        for (user, _), member in zip(people, members, strict=True):
            assert member.subject_digest not in page
            assert str(user.pk) not in page
    body = {"action": "delete_selected", "_selected_action": [str(members[1].pk)], "post": "yes"}
    assert client.post(address, body).status_code in (200, 302, 403)
    for refused in (change, f"{address}add/", f"{address}{members[1].pk}/delete/"):
        assert client.post(refused, {"post": "yes", "commitment": "1", "index": "9"}).status_code == 403
    assert list(CensusMember.objects.order_by("index").values()) == [
        {key: value for key, value in vars(member).items() if not key.startswith("_")} for member in members
    ]


@pytest.mark.slow
def test_a_large_census_is_built_and_proves_a_member(election):
    dice = random.Random(5)
    census = Census.objects.create(election=election)
    leaves = [dice.randrange(1, 2**253) for _ in range(20_000)]
    CensusMember.objects.bulk_create(
        (
            CensusMember(census=census, index=index, commitment=leaf, subject_digest=f"{index:064x}")
            for index, leaf in enumerate(leaves)
        ),
        batch_size=5000,
    )
    root = services.rebuild_census(election=election)
    census.refresh_from_db()
    proof = get_merkle_proof(public_id=election.public_id, commitment=leaves[17_777])
    assert proof.root == root
    assert verify_merkle_proof(proof)
