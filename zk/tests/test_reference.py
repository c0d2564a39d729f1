"""Equality with the field's own libraries: circomlibjs, @zk-kit, snarkjs, @semaphore-protocol."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from zk.client import VoterIdentity
from zk.eddsa import IDENTITY, SUBGROUP_ORDER, Signature, add, is_in_subgroup, multiply, public_key_of, sign, verify
from zk.formats import calldata, read_proof, read_signals
from zk.inputs import KINDS
from zk.lean_imt import LeanIMT, verify_merkle_proof
from zk.poseidon import FIELD_MODULUS, poseidon
from zk.prover.snarkjs import SnarkjsProver, _as_strings
from zk.registry import find_circuit
from zk.services import get_prover
from zk.services.verifying import verify_proof
from zk.tests.forging import calculator
from zk.tests.inputs import MAKERS

ROOT = Path(__file__).resolve().parent.parent.parent
VOTER = ROOT / "deploy" / "local" / "voter" / "voter.mjs"


def ask_node(script: Path, text: str) -> str:
    done = subprocess.run(["node", str(script)], input=text, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def ask_oracle(**request):
    return json.loads(ask_node(Path(__file__).with_name("oracle.mjs"), json.dumps(request)))


def ask_voter(*requests: dict) -> list[dict]:
    answers = ask_node(VOTER, "".join(json.dumps(request) + "\n" for request in requests)).splitlines()
    return [json.loads(answer) for answer in answers]


@pytest.fixture
def dice():
    return random.Random(11)


@pytest.mark.slow
def test_poseidon_equals_circomlibjs(dice):
    inputs = [[dice.randrange(FIELD_MODULUS) for _ in range(size)] for size in range(1, 13) for _ in range(5)]
    inputs += [[0], [FIELD_MODULUS - 1] * 2, [0] * 12]
    expected = ask_oracle(op="poseidon", inputs=[[str(n) for n in one] for one in inputs])
    assert [str(poseidon(one)) for one in inputs] == expected


@pytest.mark.parametrize("number", [-1, FIELD_MODULUS, 2**256])
def test_poseidon_refuses_what_is_no_field_element(number):
    with pytest.raises(ValueError, match="field element"):
        poseidon([number, 1])


@pytest.mark.slow
def test_lean_imt_equals_zk_kit_on_random_trees(dice):
    sizes = [*range(1, 18), 31, 32, 33, dice.randrange(40, 80)]
    trees = [[dice.randrange(FIELD_MODULUS) for _ in range(size)] for size in sizes]
    expected = ask_oracle(op="tree", sizes=[[str(leaf) for leaf in leaves] for leaves in trees])
    for leaves, theirs in zip(trees, expected, strict=True):
        tree = LeanIMT()
        while tree.size < len(leaves):
            # In portions of any size: the result must not depend on them.
            tree.extend(leaves[tree.size : tree.size + dice.randrange(1, 7)])
        assert str(tree.root) == theirs["root"]
        for index, proof in enumerate(theirs["proofs"]):
            ours = tree.prove(index)
            assert verify_merkle_proof(ours)
            assert (ours.index, [str(node) for node in ours.siblings]) == (proof["index"], proof["siblings"])


@pytest.mark.slow
def test_eddsa_verifies_what_circomlibjs_signs(dice):
    keys = [{"key": dice.randbytes(32).hex(), "message": str(dice.randrange(FIELD_MODULUS))} for _ in range(5)]
    for key, theirs in zip(keys, ask_oracle(op="eddsa", keys=keys), strict=True):
        public_key = (int(theirs["public_key"][0]), int(theirs["public_key"][1]))
        signature = Signature((int(theirs["r8"][0]), int(theirs["r8"][1])), int(theirs["s"]))
        message = int(key["message"])
        assert verify(public_key=public_key, signature=signature, message=message)
        assert not verify(public_key=public_key, signature=signature, message=(message + 1) % FIELD_MODULUS)
        # The same signature under another name.
        malleable = Signature(signature.r8, signature.s + SUBGROUP_ORDER)
        assert not verify(public_key=public_key, signature=malleable, message=message)


def test_keys_of_small_order_are_no_keys():
    # The point of order two, and a key moved by it: on the curve, outside of the prime subgroup.
    two = (0, FIELD_MODULUS - 1)
    key = public_key_of(5)
    assert multiply(two, 2) == IDENTITY
    assert is_in_subgroup(key)
    assert not is_in_subgroup(two)
    assert not is_in_subgroup(IDENTITY)
    moved = add(key, two)
    assert not is_in_subgroup(moved)
    assert not verify(public_key=moved, signature=sign(secret=5, message=1, nonce=77), message=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["voice", "eligibility", "batch_tally"])
def test_our_witness_is_snarkjs_own_byte_for_byte(name):
    inputs = KINDS[name].read(MAKERS[name]())
    theirs = ask_oracle(op="witness", wasm=str(find_circuit(name).path("wasm")), inputs=_as_strings(inputs))
    assert calculator(name).calculate(inputs).hex() == theirs


@pytest.mark.slow
@pytest.mark.parametrize("name", ["voice", "eligibility", "batch_tally"])
def test_each_prover_verifies_the_others_proofs(name, settings):
    files = find_circuit(name).files(for_proving=True)
    native, snarkjs = get_prover(), SnarkjsProver(node_modules=Path(settings.ZK_NODE_MODULES))
    inputs = KINDS[name].read(MAKERS[name]())
    ours = native.prove(files, inputs, timeout_seconds=170)
    theirs = snarkjs.prove(files, inputs, timeout_seconds=170)
    assert ours.public_signals == theirs.public_signals
    assert snarkjs.verify(files, ours.proof, ours.public_signals)
    assert native.verify(files, theirs.proof, theirs.public_signals)
    altered = [str((int(ours.public_signals[0]) + 1) % FIELD_MODULUS), *ours.public_signals[1:]]
    assert not snarkjs.verify(files, ours.proof, altered)
    assert not native.verify(files, theirs.proof, altered)


@pytest.mark.slow
def test_calldata_equals_snarkjs_export():
    files = find_circuit("voice").files(for_proving=True)
    made = get_prover().prove(files, KINDS["voice"].read(MAKERS["voice"]()), timeout_seconds=60)
    exported = ask_oracle(op="calldata", proof=made.proof, signals=made.public_signals)
    a, b, c, signals = json.loads(f"[{exported}]")
    ours = calldata("voice", read_proof(made.proof), read_signals(made.public_signals, 3))

    def numbers(value):
        return [numbers(one) for one in value] if isinstance(value, list) else int(value, 16)

    assert numbers([a, b, c, signals]) == numbers([ours["a"], ours["b"], ours["c"], ours["input"]])


@pytest.mark.slow
def test_semaphores_libraries_and_we_accept_each_other(dice):
    [theirs] = ask_voter({"op": "identity", "private_key": "a voter of long standing"})
    ours = VoterIdentity(int(theirs["secret"]))
    assert str(ours.commitment) == theirs["commitment"]

    scope, choice = dice.randrange(2**248), 3
    leaves = [dice.randrange(FIELD_MODULUS) for _ in range(6)]
    leaves[4] = ours.commitment
    tree = LeanIMT(leaves)
    proof = tree.prove(4)
    merkle_proof = {
        "root": str(proof.root),
        "leaf": str(proof.leaf),
        "index": proof.index,
        "siblings": [str(node) for node in proof.siblings],
    }
    mine = ours.prove_vote(merkle_proof=merkle_proof, scope=scope, choice=choice)
    in_their_format = {
        "merkleTreeDepth": 20,
        "merkleTreeRoot": str(mine.root),
        "nullifier": str(mine.nullifier),
        "message": str(choice),
        "scope": str(scope),
        "points": [str(word) for word in mine.proof],
    }
    request = {"op": "prove", "private_key": "a voter of long standing", "message": str(choice), "scope": str(scope)}
    registered, by_group, by_proof, verified = ask_voter(
        {"op": "register", "private_key": "a voter of long standing", "scope": str(scope)},
        request | {"commitments": [str(leaf) for leaf in leaves]},
        request | {"merkle_proof": merkle_proof},
        {"op": "verify", "proof": in_their_format},
    )
    assert verified["is_valid"], verified
    r8 = registered["signature"]["r8"]
    signature = Signature((int(r8[0]), int(r8[1])), int(registered["signature"]["s"]))
    assert verify(public_key=public_key_of(ours.secret), signature=signature, message=scope)
    for made in (by_group["proof"], by_proof["proof"]):
        result = verify_proof(name="eligibility", value=made)
        assert result["isValid"]
        assert result["signals"]["merkleRoot"] == str(tree.root)
        # One identity has one nullifier in an election, whoever computes it.
        assert result["signals"]["nullifier"] == str(mine.nullifier)
        assert not verify_proof(name="eligibility", value=made | {"message": "2"})["isValid"]
        assert not verify_proof(name="eligibility", value=made | {"scope": str(scope + 1)})["isValid"]
