"""Attacks on each circuit: refused by the witness generator, by the verifier, and by the contract."""

import random

import pytest

from zk.ballots import chain_commitments, commit_ballot
from zk.eddsa import SUBGROUP_ORDER
from zk.exceptions import InputNotValid
from zk.formats import calldata, read_proof
from zk.inputs import DEPTH, KINDS, MAX_BUDGET, MAX_VOTES
from zk.poseidon import FIELD_MODULUS as P
from zk.prover.witness import ConstraintNotSatisfied
from zk.registry import find_circuit
from zk.services import get_prover
from zk.tests.evm import CREATE, VERIFIERS, Reverted, function, is_accepted
from zk.tests.forging import calculator, honest_proof, overwrite, prove, signals_of
from zk.tests.inputs import MAKERS, batch_with, circuit_inputs


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
    # −1 passes the circuit's comparison with the order, which looks at 252 bits; the scalar's own 253 bits stop it.
    ("eligibility", "a negative secret", lambda: circuit_inputs("eligibility") | {"secret": P - 1}),
    ("eligibility", "an index of 21 bits", lambda: circuit_inputs("eligibility") | {"merkleProofIndex": 2**DEPTH}),
    ("eligibility", "a negative index", lambda: circuit_inputs("eligibility") | {"merkleProofIndex": P - 1}),
]


def eligibility_with_larger_secret() -> dict:
    # secret and secret + order have one public key, but would have two nullifiers.
    inputs = circuit_inputs("eligibility")
    return inputs | {"secret": inputs["secret"] + SUBGROUP_ORDER}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "attack", "make"), WITNESS_ATTACKS, ids=[f"{a[0]}: {a[1]}" for a in WITNESS_ATTACKS])
def test_the_witness_generator_refuses(name, attack, make):
    with pytest.raises(ConstraintNotSatisfied):
        calculator(name).calculate(make())


def assert_refused(node, verifier, name, proof, signals):
    circuit = find_circuit(name)
    assert not get_prover().verify(circuit.files(for_proving=True), proof, signals)
    assert not is_accepted(node, verifier, name, proof, signals)


def forgeries(name: str, witness: bytes) -> dict[str, tuple[bytes, dict[int, int]]]:
    """What an attacker would like to prove: a witness and the public signals, by their places, put over its own."""
    public = signals_of(name, witness)
    place = {signal: index + 1 for index, signal in enumerate(find_circuit(name).public_signals)}
    value = dict(zip(place, public, strict=True))
    if name == "voice":
        claims = {
            "a lower budget": {"budget": 1},
            "a replay in another election": {"election": value["election"] + 1},
            "another ballot's commitment": {"commitment": value["commitment"] + 1},
        }
    elif name == "batch_tally":
        claims = {
            "swapped totals": {"totals[0]": value["totals[1]"], "totals[1]": value["totals[0]"]},
            "one vote more": {"totals[3]": value["totals[3]"] + 1},
            "another start of the chain": {"chainBefore": value["chainBefore"] + 1},
            "a ballot fewer": {"count": value["count"] - 1},
            "another election": {"election": value["election"] + 1},
            "another end of the chain": {"chainAfter": value["chainAfter"] + 1},
        }
    else:
        claims = {
            "a forged root": {"merkleRoot": value["merkleRoot"] + 1},
            "a second nullifier": {"nullifier": value["nullifier"] + 1},
            "a changed message": {"message": value["message"] + 1},
            "a replay in another election": {"scope": value["scope"] + 1},
        }
    found = {
        attack: (witness, {place[signal]: claimed for signal, claimed in changes.items()})
        for attack, changes in claims.items()
    }
    if name == "batch_tally":
        # Honest totals of other ballots, and the chain that the published commitments lead to.
        for attack in (left_out, doubled, altered):
            other = calculator(name).calculate(batch_with(attack))
            found[f"a ballot {attack.__name__}"] = (other, {place["chainAfter"]: value["chainAfter"]})
    return found


def left_out(inputs: dict) -> None:
    inputs["votes"][5:] = [*inputs["votes"][6:], [0] * 10]
    inputs["salts"] = [*inputs["salts"][:5], *inputs["salts"][6:], 0]
    inputs["count"] = 127


def doubled(inputs: dict) -> None:
    inputs["votes"][6] = inputs["votes"][5]
    inputs["salts"] = [*inputs["salts"][:6], inputs["salts"][5], *inputs["salts"][7:]]


def altered(inputs: dict) -> None:
    inputs["votes"][9][2] = (inputs["votes"][9][2] + 1) % 2**16


def swapped(inputs: dict) -> None:
    first, second, *others = inputs["salts"]
    inputs["salts"] = [second, first, *others]
    inputs["votes"][0], inputs["votes"][1] = inputs["votes"][1], inputs["votes"][0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["voice", "eligibility", "batch_tally"])
def test_forged_statements_are_refused_by_verifier_and_contract(node, name):
    witness = calculator(name).calculate(circuit_inputs(name))
    verifier = node.deploy(VERIFIERS[name])
    honest, signals = honest_proof(name)
    files = find_circuit(name).files(for_proving=True)
    assert get_prover().verify(files, honest, signals)
    assert is_accepted(node, verifier, name, honest, signals)
    for attack, (used, changes) in forgeries(name, witness).items():
        forged, claimed = prove(name, overwrite(used, changes))
        assert claimed != signals, attack
        assert [int(claimed[place - 1]) for place in changes] == [value % P for value in changes.values()]
        # The proof made of the overwritten witness, and the honest proof under the claimed statement.
        assert_refused(node, verifier, name, forged, claimed)
        assert_refused(node, verifier, name, honest, claimed)


@pytest.mark.slow
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

    for attack in (left_out, doubled, altered, swapped):
        changed = batch_with(attack, seed=3)
        assert signals_of("batch_tally", calculator("batch_tally").calculate(changed))[0] != expected, attack.__name__


@pytest.mark.slow
def test_short_batches_are_padded():
    inputs = KINDS["batch_tally"].read(MAKERS["batch_tally"](count=3))
    signals = signals_of("batch_tally", calculator("batch_tally").calculate(inputs))
    commitments = [
        commit_ballot(election=inputs["election"], votes=votes, salt=salt)
        for votes, salt in list(zip(inputs["votes"], inputs["salts"], strict=True))[:3]
    ]
    assert signals[0] == chain_commitments(before=inputs["chainBefore"], commitments=commitments)
    assert signals[-1] == 3


@pytest.mark.slow
def test_what_passes_the_checks_before_the_queue_satisfies_the_circuit():
    for name in ("voice", "eligibility"):
        for seed in range(5, 15):
            calculator(name).calculate(circuit_inputs(name, seed))


@pytest.mark.slow
def test_a_path_longer_than_the_circuit_leads_to_zero_which_no_contract_takes_for_a_census(node):
    """Semaphore's circuit proves root 0 to anybody who names a length past its depth."""
    witness = calculator("eligibility").calculate(circuit_inputs("eligibility") | {"merkleProofLength": DEPTH + 1})
    assert signals_of("eligibility", witness)[0] == 0
    with pytest.raises(InputNotValid):
        KINDS["eligibility"].read(MAKERS["eligibility"](merkleProofLength=DEPTH + 1))
    verifier = node.deploy("SemaphoreVerifier")
    manager = node.deploy("ElectionManager", node.sender)
    start = node.block_number() + 10
    made = function(CREATE, bytes(32), start, start + 100, 2, 0, verifier)
    node.send(manager, made)
    with pytest.raises(Reverted, match="InvalidCensusRoot"):
        node.send(manager, function("setCensusRoot(uint256,uint256)", 0, 0))
    node.mine(12)
    proof, signals = prove("eligibility", witness)
    words = read_proof(proof)
    with pytest.raises(Reverted, match="CensusRootMissing"):
        node.send(manager, function("voteWithProof(uint256,uint8,uint256,uint256[8])", 0, 1, int(signals[1]), words))
