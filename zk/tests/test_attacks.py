"""Attacks on proofs as such: other names of a number, points that are none, proofs made of proofs, a second vote."""

import json

import pytest

from zk.client import VoterIdentity
from zk.formats import BASE_MODULUS as Q
from zk.formats import NotAProof, calldata, read_proof, read_signals, snarkjs_proof
from zk.poseidon import FIELD_MODULUS as P
from zk.registry import find_circuit
from zk.scope import election_scope
from zk.services import get_prover
from zk.tests.evm import CREATE, VERIFIERS, Node, Reverted, function
from zk.tests.forging import honest_proof

Element = tuple[int, int]
VOTE = "voteWithProof(uint256,uint8,uint256,uint256[8])"


@pytest.fixture(scope="module")
def voice() -> tuple[list[int], list[int]]:
    """Words and signals of an honest proof."""
    proof, signals = honest_proof("voice")
    return read_proof(proof), [int(signal) for signal in signals]


def is_valid(words: list[int], signals: list[int], name: str = "voice") -> bool:
    files = find_circuit(name).files(for_proving=False)
    return get_prover().verify(files, snarkjs_proof(words), [str(signal) for signal in signals])


def is_taken_on_chain(node: Node, verifier: str, name: str, words: list[int], signals: list[int]) -> bool:
    return int.from_bytes(node.read(verifier, calldata(name, words, signals)["data"]), "big") == 1


@pytest.mark.parametrize("name", ["voice", "eligibility", pytest.param("batch_tally", marks=pytest.mark.slow)])
def test_no_public_signal_has_a_second_name(node, name):
    """A signal plus the field's order would be the same element: one vote, two nullifiers."""
    proof, texts = honest_proof(name)
    words, signals = read_proof(proof), [int(text) for text in texts]
    verifier = node.deploy(VERIFIERS[name])
    assert is_taken_on_chain(node, verifier, name, words, signals)
    for place in range(len(signals)):
        for order in (P, 2 * P):
            alias = [*signals[:place], signals[place] + order, *signals[place + 1 :]]
            with pytest.raises(NotAProof):
                read_signals([str(signal) for signal in alias], len(alias))
            assert not is_taken_on_chain(node, verifier, name, words, alias)


def multiply(a: Element, b: Element) -> Element:
    return (a[0] * b[0] - a[1] * b[1]) % Q, (a[0] * b[1] + a[1] * b[0]) % Q


def root_of(a: Element) -> Element | None:
    """Return a square root in Fq2 = Fq[i], where q = 3 mod 4, or None."""
    norm = pow(a[0] * a[0] + a[1] * a[1], (Q + 1) // 4, Q)
    for sign in (1, -1):
        half = (a[0] + sign * norm) * pow(2, -1, Q) % Q
        real = pow(half, (Q + 1) // 4, Q)
        if real:
            root = real, a[1] * pow(2 * real, -1, Q) % Q
            if multiply(root, root) == (a[0] % Q, a[1] % Q):
                return root
    return None


def twist_point_outside_of_the_subgroup() -> tuple[Element, Element]:
    """Find a point of BN254's twist y² = x³ + 3 / (9 + i); one in 2^254 of them lies in the subgroup."""
    scale = pow(82, -1, Q)
    b = 27 * scale % Q, -3 * scale % Q
    for number in range(1, 100):
        x = number, 1
        cube = multiply(multiply(x, x), x)
        y = root_of(((cube[0] + b[0]) % Q, (cube[1] + b[1]) % Q))
        if y:
            return x, y
    raise AssertionError("no point found")


@pytest.mark.slow
def test_points_that_are_none_prove_nothing(node, voice):
    words, signals = voice
    verifier = node.deploy("VoiceVerifier")
    x, y = twist_point_outside_of_the_subgroup()
    attacks = {
        "A off the curve": [1, 3, *words[2:]],
        "C off the curve": [*words[:6], 1, 3],
        "B off the curve": [*words[:2], 1, 2, 3, 4, *words[6:]],
        # The EVM's order: imaginary part first.
        "B outside of the subgroup": [*words[:2], x[1], x[0], y[1], y[0], *words[6:]],
        "A at infinity": [0, 0, *words[2:]],
        "B at infinity": [*words[:2], 0, 0, 0, 0, *words[6:]],
        "C at infinity": [*words[:6], 0, 0],
        "all at infinity": [0] * 8,
        "A and C exchanged": [*words[6:], *words[2:6], *words[:2]],
    }
    assert is_valid(words, signals)
    for attack, forged in attacks.items():
        assert not is_valid(forged, signals), attack
        assert not is_taken_on_chain(node, verifier, "voice", forged, signals), attack
    # The prover's process took no harm.
    assert is_valid(words, signals)


def test_a_coordinate_has_no_second_name(node, voice, client):
    words, signals = voice
    verifier = node.deploy("VoiceVerifier")
    for place in range(8):
        alias = [*words[:place], words[place] + Q, *words[place + 1 :]]
        assert not is_taken_on_chain(node, verifier, "voice", alias, signals)
        body = json.dumps({"proof": snarkjs_proof(alias), "pubSignals": [str(signal) for signal in signals]})
        answer = client.post("/api/zk/voice/verify", body, "application/json")
        assert (answer.status_code, answer.json()["code"]) == (422, "proof_malformed")


def negated(words: list[int]) -> list[int]:
    """Make another proof of the same statement: e(−A, −B) = e(A, B)."""
    return [words[0], Q - words[1], words[2], words[3], Q - words[4], Q - words[5], *words[6:]]


@pytest.mark.slow
def test_a_proof_made_of_a_proof_casts_no_second_vote(node):
    """Groth16 proofs are malleable: what counts is the nullifier, once, by its one name."""
    verifier = node.deploy("SemaphoreVerifier")
    manager = node.deploy("ElectionManager", node.sender)
    identity = VoterIdentity.generate()
    start = node.block_number() + 10
    # The tree of one member is its leaf.
    node.send(manager, function(CREATE, bytes(32), start, start + 1000, 3, identity.commitment, verifier))
    scope = election_scope(chain_id=int(node.call("eth_chainId"), 16), contract=manager, election_id=0)
    path = {"siblings": [], "index": 0}
    vote = identity.prove_vote(merkle_proof=path, scope=scope, choice=1)
    node.mine(12)
    other = negated(vote.proof)
    assert other != vote.proof
    node.send(manager, function(VOTE, 0, 1, vote.nullifier, other))
    attempts = {
        "the proof that it was made of": (1, vote.nullifier, vote.proof),
        "once more": (1, vote.nullifier, other),
        "the nullifier's second name": (1, vote.nullifier + P, vote.proof),
        "another choice": (2, vote.nullifier, vote.proof),
        "another nullifier": (1, vote.nullifier + 1, vote.proof),
    }
    errors = {}
    for attempt, arguments in attempts.items():
        with pytest.raises(Reverted) as caught:
            node.send(manager, function(VOTE, 0, *arguments))
        errors[attempt] = str(caught.value)
    # The same person, proving anew, has the same nullifier.
    again = identity.prove_vote(merkle_proof=path, scope=scope, choice=2)
    assert again.nullifier == vote.nullifier
    with pytest.raises(Reverted) as caught:
        node.send(manager, function(VOTE, 0, 2, again.nullifier, again.proof))
    assert str(caught.value) == errors["once more"]
    elsewhere = identity.prove_vote(merkle_proof=path, scope=scope + 1, choice=1)
    assert elsewhere.nullifier != vote.nullifier
    with pytest.raises(Reverted):
        node.send(manager, function(VOTE, 0, 1, elsewhere.nullifier, elsewhere.proof))
