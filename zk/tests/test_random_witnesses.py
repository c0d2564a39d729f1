"""A thousand random invalid witnesses for each circuit, and what makes all others invalid too."""

import random
import struct
from functools import cache

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from zk.eddsa import SUBGROUP_ORDER, commitment_of, public_key_of
from zk.inputs import DEPTH, MAX_BUDGET, MAX_VOTES
from zk.poseidon import FIELD_MODULUS as P
from zk.poseidon import poseidon
from zk.prover.witness import ConstraintNotSatisfied
from zk.registry import find_circuit
from zk.tests.forging import calculator, signals_of
from zk.tests.inputs import batch_with, circuit_inputs
from zk.tests.r1cs import Satisfied, constraints_of, sections_of, values_of


@cache
def satisfied(name: str) -> Satisfied:
    return constraints_of(name).against(values_of(calculator(name).calculate(circuit_inputs(name))))


# Semaphore's comparison of the path's length with each level has one inverse that it never uses: where they are equal.
UNUSED = {"voice": [], "batch_tally": [], "eligibility": [873]}
CIRCUITS = ["voice", "eligibility", pytest.param("batch_tally", marks=pytest.mark.slow)]
tempting = st.one_of(st.sampled_from([0, 1, 2, 2**16, 2**36, P - 1, P - 2]), st.integers(0, P - 1))
RANDOMLY = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "derandomize": True}


@pytest.mark.slow
@pytest.mark.parametrize("name", CIRCUITS)
def test_a_thousand_random_invalid_witnesses_break_a_constraint(name):
    """Whole witnesses, as a prover of their own may hand in whatever they like, one to six signals changed."""
    honest = satisfied(name)
    wires = st.integers(1, len(honest.values) - 1).filter(lambda wire: wire not in UNUSED[name])
    refused = 0

    @settings(max_examples=1000, **RANDOMLY)
    @given(st.dictionaries(wires, tempting, min_size=1, max_size=6))
    def refuse(changes):
        nonlocal refused
        assume(any(honest.values[wire] != value for wire, value in changes.items()))
        assert honest.broken_by(changes) is not None
        refused += 1

    refuse()
    assert refused >= 1000


@pytest.mark.slow
@pytest.mark.parametrize("name", CIRCUITS)
def test_each_signal_is_bound_by_a_constraint(name):
    """Change each signal of a valid witness, one at a time: 504, 6,453 and 60,946 invalid witnesses."""
    assert satisfied(name).find_free_wires(delta=random.Random(3).randrange(1, P)) == UNUSED[name]
    # What is unused may be anything, and is no part of the statement.
    assert all(wire > len(find_circuit(name).public_signals) for wire in UNUSED[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", CIRCUITS)
def test_the_inputs_leave_no_signal_a_choice(name):
    assert satisfied(name).find_free_directions() == UNUSED[name]


def test_semaphores_constraints_are_those_of_the_ceremonys_key():
    """npm brings no r1cs: ours, compiled from Semaphore's source, has the key's own matrices A and B."""
    sections = sections_of(find_circuit("eligibility").path("zkey").read_bytes())
    # snarkjs keeps coefficients times 2^512.
    unscale = pow(2, -512, P)
    found: list[dict[int, dict[int, int]]] = [{}, {}]
    body = bytes(sections[4][4:])
    for start in range(0, len(body), 44):
        matrix, row, wire = struct.unpack_from("<III", body, start)
        value = int.from_bytes(body[start + 12 : start + 44], "little") * unscale % P
        found[matrix].setdefault(row, {})[wire] = value
    ours = constraints_of("eligibility").parts
    assert len(ours) == find_circuit("eligibility").n_constraints
    for row, (left, right, _) in enumerate(ours):
        assert dict(left) == found[0].get(row, {})
        assert dict(right) == found[1].get(row, {})


wild = st.one_of(st.integers(2**16, 2**20), st.integers(P - 2**20, P - 1), st.integers(2**37, P - 1))


@pytest.mark.slow
@settings(max_examples=150, **RANDOMLY)
@given(st.data())
def test_random_invalid_voice_inputs_have_no_witness(data):
    """A vote out of range, a budget out of range, or squares over the budget."""
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
@settings(max_examples=40, **RANDOMLY)
@given(st.data())
def test_random_invalid_batches_have_no_witness(data):
    """A vote out of range, votes in the padding, or a count of more ballots than there is room for."""

    def change(inputs):
        match data.draw(st.sampled_from(["vote", "padding", "count"])):
            case "vote":
                inputs["votes"][data.draw(st.integers(0, 127))][data.draw(st.integers(0, 9))] = data.draw(wild)
            case "padding":
                inputs["count"] = data.draw(st.integers(0, 127))
            case "count":
                inputs["count"] = data.draw(st.integers(129, P - 1))

    with pytest.raises(ConstraintNotSatisfied):
        calculator("batch_tally").calculate(batch_with(change))


@pytest.mark.slow
@settings(max_examples=60, **RANDOMLY)
@given(st.data())
def test_random_changes_of_a_members_inputs_prove_no_membership(data):
    """Whatever is changed in a member's inputs, they are refused or speak of another census."""
    seed = data.draw(st.integers(0, 20))
    inputs = circuit_inputs("eligibility", seed=seed)
    length = inputs["merkleProofLength"]
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
    assert signals[0] != root_of(inputs)


def root_of(inputs: dict) -> int:
    """The census root that a member's inputs lead to."""
    length = inputs["merkleProofLength"]
    node = commitment_of(public_key_of(inputs["secret"]))
    for level, sibling in enumerate(inputs["merkleProofSiblings"][:length]):
        node = poseidon([sibling, node] if inputs["merkleProofIndex"] >> level & 1 else [node, sibling])
    return node
