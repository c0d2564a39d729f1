"""Attacks on each circuit: refused by the witness generator, by the verifier, and by the contract."""

import random
from functools import cache

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zk.ballots import chain_commitments, commit_ballot
from zk.eddsa import SUBGROUP_ORDER
from zk.inputs import DEPTH, KINDS, MAX_BUDGET, MAX_VOTES
from zk.poseidon import FIELD_MODULUS as P
from zk.prover.witness import ConstraintNotSatisfied
from zk.registry import find_circuit
from zk.services import get_prover
from zk.services.setup import compiled
from zk.tests.evm import Node, is_accepted
from zk.tests.forging import calculator, overwrite, prove, signals_of
from zk.tests.inputs import MAKERS
from zk.tests.r1cs import find_free_wires, read_constraints, values_of

VERIFIERS = {"voice": "VoiceVerifier", "batch_tally": "BatchTallyVerifier", "eligibility": "SemaphoreVerifier"}


@cache
def _inputs(name: str, seed: int) -> dict:
    return KINDS[name].read(MAKERS[name](seed))


def circuit_inputs(name: str, seed: int = 1) -> dict:
    return dict(_inputs(name, seed))


def batch_with(change) -> dict:
    inputs = circuit_inputs("batch_tally")
    inputs["votes"] = [list(row) for row in inputs["votes"]]
    change(inputs)
    return inputs


def voice_with(**changes) -> dict:
    return circuit_inputs("voice") | changes


def set_vote(value: int, i: int = 0):
    return lambda inputs: inputs["votes"][i].__setitem__(0, value)


# Root of 5 in the field: a "vote" whose square is a small number.
ROOT_OF_FOUR = P - 2
WITNESS_ATTACKS = [
    ("voice", "a negative vote", lambda: voice_with(votes=[P - 1] + [0] * 9, budget=MAX_BUDGET)),
    ("voice", "a negative root of a small square", lambda: voice_with(votes=[ROOT_OF_FOUR] + [0] * 9, budget=4)),
    ("voice", "a vote of 17 bits", lambda: voice_with(votes=[MAX_VOTES + 1] + [0] * 9, budget=MAX_BUDGET)),
    ("voice", "one credit over budget", lambda: voice_with(votes=[3, 4] + [0] * 8, budget=24)),
    ("voice", "a budget of 37 bits", lambda: voice_with(votes=[MAX_VOTES] * 10, budget=2**36)),
    ("voice", "a budget that wraps", lambda: voice_with(votes=[1] + [0] * 9, budget=P - 1)),
    ("batch_tally", "a negative vote", lambda: batch_with(set_vote(P - 1))),
    ("batch_tally", "a vote of 17 bits", lambda: batch_with(set_vote(MAX_VOTES + 1))),
    ("batch_tally", "votes in the padding", lambda: batch_with(lambda inputs: inputs.update(count=127))),
    ("batch_tally", "more ballots than there are", lambda: batch_with(lambda inputs: inputs.update(count=129))),
    ("batch_tally", "a negative count", lambda: batch_with(lambda inputs: inputs.update(count=P - 1))),
    ("eligibility", "a secret past the subgroup's order", lambda: eligibility_with_larger_secret()),
    ("eligibility", "an index of 21 bits", lambda: circuit_inputs("eligibility") | {"merkleProofIndex": 2**DEPTH}),
    ("eligibility", "a negative index", lambda: circuit_inputs("eligibility") | {"merkleProofIndex": P - 1}),
]


def eligibility_with_larger_secret() -> dict:
    # secret and secret + order have one public key, but would have two nullifiers.
    inputs = circuit_inputs("eligibility")
    return inputs | {"secret": inputs["secret"] + SUBGROUP_ORDER}


@pytest.mark.parametrize(("name", "attack", "make"), WITNESS_ATTACKS, ids=[f"{a[0]}: {a[1]}" for a in WITNESS_ATTACKS])
def test_the_witness_generator_refuses(name, attack, make):
    with pytest.raises(ConstraintNotSatisfied):
        calculator(name).calculate(make())


@pytest.fixture
def node(anvil):
    return Node(anvil)


def assert_refused(node, verifier, name, proof, signals):
    circuit = find_circuit(name)
    assert not get_prover().verify(circuit.files(for_proving=True), proof, signals)
    assert not is_accepted(node, verifier, name, proof, signals)


def forgeries(name: str, witness: bytes) -> dict[str, dict[int, int]]:
    """Changes of a valid witness that an attacker would like to prove, by the public signals' places."""
    public = signals_of(name, witness)
    place = {signal: index + 1 for index, signal in enumerate(find_circuit(name).public_signals)}
    value = dict(zip(place, public, strict=True))
    if name == "voice":
        return {
            "a lower budget": {place["budget"]: 1},
            "a replay in another election": {place["election"]: value["election"] + 1},
            "another ballot's commitment": {place["commitment"]: value["commitment"] + 1},
        }
    if name == "batch_tally":
        return {
            "swapped totals": {place["totals[0]"]: value["totals[1]"], place["totals[1]"]: value["totals[0]"]},
            "one vote more": {place["totals[3]"]: value["totals[3]"] + 1},
            "another start of the chain": {place["chainBefore"]: value["chainBefore"] + 1},
            "a ballot fewer": {place["count"]: value["count"] - 1},
            "another election": {place["election"]: value["election"] + 1},
            "another end of the chain": {place["chainAfter"]: value["chainAfter"] + 1},
        }
    return {
        "a forged root": {place["merkleRoot"]: value["merkleRoot"] + 1},
        "a second nullifier": {place["nullifier"]: value["nullifier"] + 1},
        "a changed message": {place["message"]: value["message"] + 1},
        "a replay in another election": {place["scope"]: value["scope"] + 1},
    }


@pytest.mark.parametrize("name", ["voice", "eligibility", pytest.param("batch_tally", marks=pytest.mark.slow)])
def test_forged_statements_are_refused_by_verifier_and_contract(node, name):
    witness = calculator(name).calculate(circuit_inputs(name))
    verifier = node.deploy(VERIFIERS[name])
    honest, signals = prove(name, witness)
    files = find_circuit(name).files(for_proving=True)
    assert get_prover().verify(files, honest, signals)
    assert is_accepted(node, verifier, name, honest, signals)
    for number, (attack, changes) in enumerate(forgeries(name, witness).items()):
        claimed = list(signals)
        for place, value in changes.items():
            claimed[place - 1] = str(value % P)
        # The honest proof under another statement, and a proof made of the overwritten witness.
        assert_refused(node, verifier, name, honest, claimed)
        if name == "batch_tally" and number > 1:
            # Two seconds each; two of its kind will do.
            continue
        forged, forged_signals = prove(name, overwrite(witness, changes))
        assert forged_signals == claimed, attack
        assert_refused(node, verifier, name, forged, forged_signals)


def test_a_witness_that_never_satisfied_the_circuit_proves_nothing(node):
    """The prover library answers with a proof for any witness: the reason why ours verifies before it returns."""
    witness = calculator("voice").calculate(circuit_inputs("voice"))
    verifier = node.deploy("VoiceVerifier")
    dice = random.Random(7)
    for _ in range(10):
        # Any private signal: votes, their bits and squares, the hash's state.
        place = dice.randrange(4, 500)
        proof, signals = prove("voice", overwrite(witness, {place: dice.randrange(P)}))
        assert_refused(node, verifier, "voice", proof, signals)


def test_the_contract_refuses_a_signal_plus_the_fields_order(node):
    witness = calculator("voice").calculate(circuit_inputs("voice"))
    verifier = node.deploy("VoiceVerifier")
    proof, signals = prove("voice", witness)
    from zk.formats import calldata, read_proof

    data = calldata("voice", read_proof(proof), [int(signals[0]), int(signals[1]), int(signals[2]) + P])["data"]
    assert int.from_bytes(node.read(verifier, data), "big") == 0


def test_a_proof_for_one_circuit_is_none_for_another(node):
    proof, signals = prove("voice", calculator("voice").calculate(circuit_inputs("voice")))
    files = find_circuit("eligibility").files(for_proving=True)
    assert not get_prover().verify(files, proof, [*signals, "1"])
    assert not is_accepted(node, node.deploy("SemaphoreVerifier"), "eligibility", proof, [*signals, "1"])


@pytest.mark.slow
def test_a_ballot_left_out_doubled_or_altered_changes_the_chain():
    inputs = circuit_inputs("batch_tally", seed=3)
    published = [
        commit_ballot(election=inputs["election"], votes=votes, salt=salt)
        for votes, salt in zip(inputs["votes"], inputs["salts"], strict=True)
    ]
    expected = chain_commitments(before=inputs["chainBefore"], commitments=published)
    honest = signals_of("batch_tally", calculator("batch_tally").calculate(inputs))
    assert honest[0] == expected
    assert honest[1:11] == [sum(row[j] for row in inputs["votes"]) for j in range(10)]

    def left_out(inputs):
        inputs["votes"][5:], inputs["salts"][5:] = [*inputs["votes"][6:], [0] * 10], [*inputs["salts"][6:], 0]
        inputs["count"] = 127

    def doubled(inputs):
        inputs["votes"][6], inputs["salts"][6] = inputs["votes"][5], inputs["salts"][5]

    def altered(inputs):
        inputs["votes"][9][2] = (inputs["votes"][9][2] + 1) % 2**16

    def swapped(inputs):
        for member in ("votes", "salts"):
            inputs[member][0], inputs[member][1] = inputs[member][1], inputs[member][0]

    for attack in (left_out, doubled, altered, swapped):
        changed = {key: list(value) if isinstance(value, list) else value for key, value in inputs.items()}
        changed["votes"] = [list(row) for row in inputs["votes"]]
        attack(changed)
        assert signals_of("batch_tally", calculator("batch_tally").calculate(changed))[0] != expected, attack.__name__


def test_short_batches_are_padded():
    inputs = KINDS["batch_tally"].read(MAKERS["batch_tally"](count=3))
    signals = signals_of("batch_tally", calculator("batch_tally").calculate(inputs))
    commitments = [
        commit_ballot(election=inputs["election"], votes=votes, salt=salt)
        for votes, salt in list(zip(inputs["votes"], inputs["salts"], strict=True))[:3]
    ]
    assert signals[0] == chain_commitments(before=inputs["chainBefore"], commitments=commitments)
    assert signals[-1] == 3


def test_what_passes_the_checks_before_the_queue_satisfies_the_circuit():
    for name in ("voice", "eligibility"):
        for seed in range(5, 15):
            calculator(name).calculate(circuit_inputs(name, seed))


# --- 1,000 random invalid witnesses for each circuit

wild = st.one_of(st.integers(2**16, 2**20), st.integers(P - 2**20, P - 1), st.integers(2**37, P - 1))
THOUSAND = settings(
    max_examples=1000, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@pytest.mark.slow
@pytest.mark.timeout(900)
@THOUSAND
@given(st.data())
def test_a_thousand_invalid_voice_witnesses(data):
    """A vote out of range, a budget out of range, or squares over the budget: never a witness."""
    inputs = circuit_inputs("voice", seed=data.draw(st.integers(0, 50)))
    match data.draw(st.sampled_from(["vote", "budget", "spent"])):
        case "vote":
            votes = list(inputs["votes"])
            votes[data.draw(st.integers(0, 9))] = data.draw(wild)
            inputs |= {"votes": votes, "budget": data.draw(st.integers(0, MAX_BUDGET))}
        case "budget":
            inputs["budget"] = data.draw(st.integers(2**36, P - 1))
        case "spent":
            votes = data.draw(st.lists(st.integers(0, MAX_VOTES), min_size=10, max_size=10).filter(any))
            spent = sum(vote * vote for vote in votes)
            inputs |= {"votes": votes, "budget": data.draw(st.integers(0, min(spent - 1, MAX_BUDGET)))}
    with pytest.raises(ConstraintNotSatisfied):
        calculator("voice").calculate(inputs)


@pytest.mark.slow
@pytest.mark.timeout(900)
@THOUSAND
@given(st.data())
def test_a_thousand_invalid_eligibility_witnesses(data):
    """Whatever is changed in a member's witness, it is refused or speaks of another statement."""
    seed = data.draw(st.integers(0, 20))
    inputs = circuit_inputs("eligibility", seed=seed)
    length = inputs["merkleProofLength"]
    honest = HONEST.setdefault(seed, signals_of("eligibility", calculator("eligibility").calculate(inputs)))
    match data.draw(st.sampled_from(["secret", "order", "index", "sibling", "length"])):
        case "secret":
            other = data.draw(st.integers(0, SUBGROUP_ORDER - 1).filter(lambda n: n != inputs["secret"]))
            changed = inputs | {"secret": other}
        case "order":
            changed = inputs | {"secret": inputs["secret"] + data.draw(st.integers(1, 7)) * SUBGROUP_ORDER}
        case "index":
            index = data.draw(st.integers(0, 2**length - 1).filter(lambda n: n != inputs["merkleProofIndex"]))
            changed = inputs | {"merkleProofIndex": index}
        case "sibling":
            siblings = list(inputs["merkleProofSiblings"])
            place = data.draw(st.integers(0, length - 1))
            siblings[place] = data.draw(st.integers(0, P - 1).filter(lambda n: n != siblings[place]))
            changed = inputs | {"merkleProofSiblings": siblings}
        case "length":
            changed = inputs | {"merkleProofLength": data.draw(st.integers(0, DEPTH + 3).filter(lambda n: n != length))}
    try:
        signals = signals_of("eligibility", calculator("eligibility").calculate(changed))
    except ConstraintNotSatisfied:
        return
    assert signals[:2] != honest[:2]
    assert signals[0] != honest[0]


HONEST: dict[int, list[int]] = {}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["voice", "batch_tally"])
def test_each_signal_of_our_circuits_is_bound_by_a_constraint(name):
    """Change each signal of a valid witness, one at a time: 1,008 and 60,946 invalid witnesses, all refused."""
    with compiled(name) as build:
        assert build.r1cs_sha256 == find_circuit(name).r1cs_sha256, "the sources compile to another circuit"
        constraints = read_constraints(build.r1cs)
    values = values_of(calculator(name).calculate(circuit_inputs(name)))
    dice = random.Random(3)
    for _ in range(2 if name == "voice" else 1):
        assert find_free_wires(constraints, values, delta=dice.randrange(1, P)) == []
