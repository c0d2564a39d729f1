"""ElectionManager on a real node: every rule refuses by its name and changes nothing."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from chain.abi import artifact, decode_result, encode_call, error_name
from chain.exceptions import Reverted
from chain.tests.factories import ACCOUNTS, METADATA_HASH, OWNER, Ground

ABI = artifact("ElectionManager")["abi"]
ZERO = "0x" + "0" * 40
ROOT = Path(__file__).resolve().parent.parent.parent
PROOF = [1, 2, 3, 4, 5, 6, 7, 8]
FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617

# Makes a vote's proof with the published packages: identity, group of three, depth 20.
MAKE_PROOF = """
import { createRequire } from "node:module";
const require = createRequire(process.cwd() + "/");
const { Identity } = require("@semaphore-protocol/identity");
const { Group } = require("@semaphore-protocol/group");
const { generateProof } = require("@semaphore-protocol/proof");
const [scope, choice] = process.argv.slice(1);
const voter = new Identity("a voter");
const group = new Group([voter.commitment, new Identity("b").commitment, new Identity("c").commitment]);
const folder = process.cwd() + "/node_modules/@zk-kit/semaphore-artifacts/";
const snark = { wasm: folder + "semaphore-20.wasm", zkey: folder + "semaphore-20.zkey" };
const proof = await generateProof(voter, group, BigInt(choice), BigInt(scope), 20, snark);
console.log(JSON.stringify({ root: group.root.toString(), nullifier: proof.nullifier, points: proof.points }));
process.exit(0);
"""


def refusal(ground: Ground, name: str, *arguments: Any, sender: int = 0) -> str:
    """Return the custom error with which a call is refused; empty when it is not."""
    call = {"from": ACCOUNTS[sender].address, "to": ground.manager, "data": encode_call(ABI, name, arguments)}
    try:
        ground.call("eth_call", call | {"gas": hex(3_000_000)}, "latest")
    except Reverted as error:
        data = error.data.get("data") if isinstance(error.data, dict) else error.data
        return error_name(ABI, data) or "without a name"
    return ""


def read(ground: Ground, name: str, *arguments: Any) -> tuple[Any, ...]:
    data = ground.call("eth_call", {"to": ground.manager, "data": encode_call(ABI, name, arguments)}, "latest")
    return decode_result(ABI, name, data)


def creation(ground: Ground, **fields: Any) -> list[Any]:
    start = ground.height + 10
    values = {"start": start, "end": start + 20, "options": 3, "root": 0, "verifier": ZERO} | fields
    return [METADATA_HASH, values["start"], values["end"], values["options"], values["root"], values["verifier"]]


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"start": 1}, "InvalidWindow"),
        ({"start": 900, "end": 900}, "InvalidWindow"),
        ({"options": 1}, "InvalidOptions"),
        ({"verifier": "0x" + "ab" * 20}, "InvalidVerifier"),
        ({"root": 5}, "InvalidCensusRoot"),
    ],
)
def test_a_senseless_election_is_refused(ground: Ground, fields: dict[str, Any], error: str) -> None:
    assert refusal(ground, "createElection", *creation(ground, **fields)) == error


def test_only_the_owner_creates_cancels_and_sets_a_census(ground: Ground) -> None:
    election_id = ground.create_election()
    assert refusal(ground, "createElection", *creation(ground), sender=1) == "OwnableUnauthorizedAccount"
    assert refusal(ground, "cancel", election_id, sender=1) == "OwnableUnauthorizedAccount"
    assert refusal(ground, "setCensusRoot", election_id, 1, sender=1) == "OwnableUnauthorizedAccount"
    assert refusal(ground, "cancel", election_id) == ""


def test_early_late_double_and_wrong_votes_are_refused(ground: Ground) -> None:
    election_id = ground.create_election(start_in=5, blocks=10)
    assert refusal(ground, "vote", election_id, 0, sender=1) == "VotingNotStarted"
    ground.mine(5)
    assert refusal(ground, "vote", election_id, 3, sender=1) == "InvalidChoice"
    ground.vote(election_id, 2, sender=1)
    assert refusal(ground, "vote", election_id, 0, sender=1) == "AlreadyVoted"
    assert refusal(ground, "finalise", election_id) == "VotingNotEnded"
    assert refusal(ground, "voteWithProof", election_id, 0, 1, PROOF, sender=2) == "ProofNotAccepted"
    ground.mine(12)
    assert refusal(ground, "vote", election_id, 0, sender=2) == "VotingEnded"
    assert read(ground, "totalsOf", election_id) == ((0, 0, 1),)


def test_the_window_is_open_from_the_start_block_to_before_the_end_block(ground: Ground) -> None:
    start = ground.height + 3
    receipt = ground.transact("createElection", METADATA_HASH, start, start + 2, 2, 0, ZERO)
    election_id = int(receipt["logs"][0]["topics"][1], 16)
    ground.mine(start - 1 - ground.height)
    assert int(ground.vote(election_id, 0, sender=1)["blockNumber"], 16) == start
    assert int(ground.vote(election_id, 1, sender=2)["blockNumber"], 16) == start + 1
    assert ground.transact("vote", election_id, 0, sender=3)["status"] == "0x0"


def test_an_election_is_cancelled_before_its_end_and_never_after(ground: Ground) -> None:
    election_id = ground.create_election(blocks=4)
    ground.vote(election_id, 1)
    end = read(ground, "elections", election_id)[1]
    ground.mine(end - 1 - ground.height)
    assert refusal(ground, "cancel", election_id) == ""
    assert ground.transact("cancel", election_id)["status"] == "0x0"  # in the block of the end
    assert refusal(ground, "cancel", election_id) == "VotingEnded"
    assert ground.transact("finalise", election_id, sender=1)["status"] == "0x1"


def test_a_tally_is_published_once_by_anybody_and_not_after_a_cancellation(ground: Ground) -> None:
    election_id = ground.create_election(blocks=2)
    ground.vote(election_id, 1)
    ground.mine(3)
    receipt = ground.transact("finalise", election_id, sender=5)
    assert receipt["status"] == "0x1"
    assert refusal(ground, "finalise", election_id) == "ElectionIsFinalised"
    assert refusal(ground, "cancel", election_id) == "ElectionIsFinalised"
    other = ground.create_election()
    ground.transact("cancel", other)
    assert refusal(ground, "finalise", other) == "ElectionIsCancelled"
    assert refusal(ground, "vote", other, 0, sender=1) == "ElectionIsCancelled"
    assert refusal(ground, "cancel", 99) == "UnknownElection"


def test_a_census_root_is_set_once_and_before_the_start(ground: Ground) -> None:
    verifier = ground.deploy("SemaphoreVerifier")
    election_id = ground.create_election(start_in=4, verifier=verifier)
    open_ballot = ground.create_election()
    assert refusal(ground, "setCensusRoot", open_ballot, 7) == "InvalidCensusRoot"
    assert refusal(ground, "setCensusRoot", election_id, 0) == "InvalidCensusRoot"
    assert refusal(ground, "setCensusRoot", election_id, 2**255) == "InvalidCensusRoot"
    ground.transact("setCensusRoot", election_id, 7)
    assert refusal(ground, "setCensusRoot", election_id, 8) == "CensusRootAlreadySet"
    late = ground.create_election(start_in=1, verifier=verifier)
    ground.mine(3)
    assert refusal(ground, "setCensusRoot", late, 7) == "VotingStarted"
    assert refusal(ground, "voteWithProof", late, 0, 1, PROOF) == "CensusRootMissing"
    assert refusal(ground, "vote", late, 0) == "ProofRequired"


@pytest.mark.slow
def test_a_real_proof_counts_once_for_its_election_and_choice_alone(ground: Ground) -> None:
    verifier = ground.deploy("SemaphoreVerifier")
    election_id = ground.create_election(start_in=6, verifier=verifier)
    (scope,) = read(ground, "scopeOf", election_id)
    made = subprocess.run(
        ["node", "--input-type=module", "-e", MAKE_PROOF, str(scope), "2"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    proof = json.loads(made.stdout)
    points, nullifier = [int(point) for point in proof["points"]], int(proof["nullifier"])
    ground.transact("setCensusRoot", election_id, int(proof["root"]))
    other = ground.create_election(start_in=1, verifier=verifier, census_root=int(proof["root"]))
    ground.mine(6)
    assert refusal(ground, "voteWithProof", election_id, 1, nullifier, points) == "InvalidProof"
    assert refusal(ground, "voteWithProof", election_id, 2, nullifier + 1, points) == "InvalidProof"
    assert refusal(ground, "voteWithProof", other, 2, nullifier, points) == "InvalidProof"
    # The same field element under another name would be a second vote.
    assert refusal(ground, "voteWithProof", election_id, 2, nullifier + FIELD, points) == "InvalidProof"
    assert refusal(ground, "voteWithProof", election_id, 2, nullifier, [*points[:7], points[7] ^ 1]) == "InvalidProof"
    # Anybody may carry it.
    assert ground.transact("voteWithProof", election_id, 2, nullifier, points, sender=7)["status"] == "0x1"
    assert refusal(ground, "voteWithProof", election_id, 2, nullifier, points) == "AlreadyVoted"
    assert read(ground, "totalsOf", election_id) == ((0, 0, 1),)


def test_ownership_is_handed_over_in_two_steps(ground: Ground) -> None:
    ground.transact("transferOwnership", ACCOUNTS[3].address)
    assert read(ground, "owner")[0].lower() == OWNER.address.lower()
    ground.transact("acceptOwnership", sender=3)
    assert refusal(ground, "createElection", *creation(ground)) == "OwnableUnauthorizedAccount"


@pytest.mark.slow
def test_artifacts_are_what_the_sources_compile_to() -> None:
    check = subprocess.run(
        ["node", "chain/contracts/compile.mjs", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert check.returncode == 0, check.stderr


# As an auditor looks


RETURN_TRUE = "600160005260206000f3"
# What a verifier does instead of verifying → how the vote ends.
VERIFIERS = {
    "says yes": (RETURN_TRUE, ""),
    "says no": ("600060005260206000f3", "InvalidProof"),
    "says two": ("600260005260206000f3", "without a name"),
    "says nothing": ("00", "without a name"),
    "reverts": ("60006000fd", "without a name"),
    "burns all gas": ("fe", "without a name"),
    # Called by STATICCALL: neither it nor what it calls back can write.
    "writes state": ("6001600055" + RETURN_TRUE, "without a name"),
}


@pytest.mark.parametrize("behaviour", VERIFIERS)
def test_a_verifier_decides_over_its_own_election_alone(ground: Ground, behaviour: str) -> None:
    runtime, expected = VERIFIERS[behaviour]
    init = f"0x60{len(runtime) // 2:02x}80600b6000396000f3{runtime}"
    verifier = ground.send(None, init)["contractAddress"]
    election_id = ground.create_election(start_in=1, verifier=verifier, census_root=7)
    ground.mine(2)
    assert refusal(ground, "voteWithProof", election_id, 1, 5, PROOF) == expected
    receipt = ground.transact("voteWithProof", election_id, 1, 5, PROOF)
    assert receipt["status"] == ("0x0" if expected else "0x1")
    assert read(ground, "totalsOf", election_id) == ((0, 0 if expected else 1, 0),)
    assert read(ground, "hasVoted", election_id, 5) == (not expected,)
    if not expected:
        # Even a verifier that accepts everything counts a nullifier once.
        assert refusal(ground, "voteWithProof", election_id, 2, 5, PROOF) == "AlreadyVoted"


def test_the_largest_election_is_created_and_finalised_within_a_block(ground: Ground) -> None:
    longest = ground.transact("createElection", METADATA_HASH, ground.height + 5, 2**64 - 1, 255, 0, ZERO)
    assert longest["status"] == "0x1"
    assert refusal(ground, "finalise", 0) == "VotingNotEnded"
    assert refusal(ground, "createElection", METADATA_HASH, 2**64 - 1, 2**64 - 1, 2, 0, ZERO) == "InvalidWindow"
    election_id = ground.create_election(blocks=2, options=255)
    ground.vote(election_id, 254)
    assert refusal(ground, "vote", election_id, 255, sender=2) == "InvalidChoice"
    ground.mine(3)
    receipt = ground.transact("finalise", election_id, sender=4)
    assert receipt["status"] == "0x1"
    assert int(receipt["gasUsed"], 16) < 1_000_000


@pytest.mark.parametrize("name", ["ElectionManager", "AuditAnchor"])
def test_what_is_deployed_is_the_artifact(ground: Ground, name: str) -> None:
    code = ground.call("eth_getCode", ground.deploy(name, OWNER.address), "latest")
    assert len(code) > 1000
    assert artifact(name)["bytecode"].endswith(code[2:])


def test_anchors_only_grow_and_only_by_their_owner(ground: Ground) -> None:
    anchors, abi = ground.deploy("AuditAnchor", OWNER.address), artifact("AuditAnchor")["abi"]

    def status(size: int, sender: int = 0) -> str:
        receipt = ground.transact("anchor", size, b"\x01" * 32, to=anchors, contract="AuditAnchor", sender=sender)
        return str(receipt["status"])

    assert [status(0), status(5, sender=1), status(5), status(5), status(4), status(2**64 - 1)] == [
        "0x0",
        "0x0",
        "0x1",
        "0x0",
        "0x0",
        "0x1",
    ]
    count = ground.call("eth_call", {"to": anchors, "data": encode_call(abi, "count", [])}, "latest")
    assert int(count, 16) == 2
