"""Profiles: two forms with the same topic 0, decoded each in its own way."""

from typing import Any

import eth_abi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from chain.abi import artifact, topic0, type_of
from chain.decoding import generate
from chain.exceptions import ConfigurationRefused, DecodingFailed
from chain.profiles import profiles
from chain.services import Configured, configured_contracts
from chain.tests.factories import Ground
from elections.models import Election

META = b"\x5a" * 32
VERIFIER = "0x" + "ab" * 20


@pytest.mark.parametrize(("profile", "contract"), [("toting-v2", "TotingV2"), ("toting-v2-older", "TotingV2Older")])
def test_a_toting_contract_indexes_as_well_as_ours(
    ground: Ground, index_once: Any, profile: str, contract: str
) -> None:
    address = ground.deploy(contract)
    ground.transact("createElection", b"\x01" * 32, VERIFIER, 5, 60, to=address, contract=contract)
    ground.transact("createElection", META, VERIFIER, 10, 70, to=address, contract=contract)
    ground.transact("tally", 1, 41, 17, to=address, contract=contract)
    index_once(contracts=[Configured(profile, address, 1)])
    election = Election.objects.get(election_id=1)
    assert bytes(election.metadata_hash) == META
    assert (election.start_block, election.end_block, election.verifier) == (10, 70, VERIFIER)
    assert [int(total) for total in election.totals] == [41, 17]
    assert election.status == "tallied"
    assert election.turnout == 58


def test_the_wrong_form_never_decodes_silently_right() -> None:
    newer, older = artifact("TotingV2")["abi"], artifact("TotingV2Older")["abi"]
    entries = [next(e for e in abi if e.get("name") == "ElectionCreated") for abi in (newer, older)]
    assert topic0(entries[0]) == topic0(entries[1])
    log = {"topics": [topic0(entries[0]), "0x" + META.hex()], "data": "0x" + "00" * 31 + "07" + "00" * 12 + "ab" * 20}
    assert generate(entries[1]).decode(log["topics"], log["data"]) == (7, META, VERIFIER)
    assert generate(entries[0]).decode(log["topics"], log["data"]) != (7, META, VERIFIER)


ENTRIES = [
    (name, entry)
    for name in ("ElectionManager", "TotingV2", "TotingV2Older")
    for entry in artifact(name)["abi"]
    if entry["type"] == "event"
]


def values_of(kind: str) -> st.SearchStrategy[Any]:
    if kind.endswith("[]"):
        return st.lists(values_of(kind[:-2]), max_size=5)
    if kind == "address":
        return st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
    if kind == "bool":
        return st.booleans()
    if kind.startswith("uint"):
        return st.integers(0, 2 ** int(kind[4:]) - 1)
    if kind.startswith("int"):
        bits = int(kind[3:])
        return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    size = int(kind[5:])
    return st.binary(min_size=size, max_size=size)


def plain(value: Any) -> Any:
    """Bring web3's and our values to one form."""
    if isinstance(value, str):
        return value.lower()
    if isinstance(value, bytes):
        return bytes(value)
    if isinstance(value, list | tuple):
        return tuple(plain(item) for item in value)
    return value


def encode_log(entry: dict[str, Any], values: list[Any]) -> dict[str, Any]:
    kinds = [type_of(parameter) for parameter in entry["inputs"]]
    topics, data_kinds, data_values = [topic0(entry)], [], []
    for parameter, kind, value in zip(entry["inputs"], kinds, values, strict=True):
        if parameter["indexed"]:
            topics.append("0x" + eth_abi.encode([kind], [value]).hex())
        else:
            data_kinds.append(kind)
            data_values.append(value)
    return {"topics": topics, "data": "0x" + eth_abi.encode(data_kinds, data_values).hex()}


@pytest.mark.slow
@given(st.data())
def test_decoders_equal_process_log_on_random_events(data: st.DataObject) -> None:
    name, entry = data.draw(st.sampled_from(ENTRIES))
    values = [data.draw(values_of(type_of(parameter))) for parameter in entry["inputs"]]
    log = encode_log(entry, values)
    contract = Web3().eth.contract(abi=artifact(name)["abi"])
    full = {
        "address": "0x" + "11" * 20,
        "topics": [bytes.fromhex(topic[2:]) for topic in log["topics"]],
        "data": log["data"],
        "blockNumber": 1,
        "blockHash": b"\x00" * 32,
        "transactionHash": b"\x00" * 32,
        "transactionIndex": 0,
        "logIndex": 0,
        "removed": False,
    }
    theirs = getattr(contract.events, entry["name"])().process_log(full)["args"]
    ours = generate(entry).decode(log["topics"], log["data"])
    assert plain(ours) == tuple(plain(theirs[parameter["name"]]) for parameter in entry["inputs"])


@pytest.mark.slow
@given(st.data())
def test_mutilated_logs_never_decode_to_what_web3_refuses(data: st.DataObject) -> None:
    """What process_log refuses, ours refuses too: it becomes a dead letter, never a wrong row."""
    name, entry = data.draw(st.sampled_from(ENTRIES))
    values = [data.draw(values_of(type_of(parameter))) for parameter in entry["inputs"]]
    log = encode_log(entry, values)
    raw = bytearray.fromhex(log["data"][2:])
    if raw:
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    raw = raw[: data.draw(st.integers(0, len(raw)))]
    contract = Web3().eth.contract(abi=artifact(name)["abi"])
    full = {
        "address": "0x" + "11" * 20,
        "topics": [bytes.fromhex(topic[2:]) for topic in log["topics"]],
        "data": "0x" + raw.hex(),
        "blockNumber": 1,
        "blockHash": b"\x00" * 32,
        "transactionHash": b"\x00" * 32,
        "transactionIndex": 0,
        "logIndex": 0,
        "removed": False,
    }
    try:
        theirs = getattr(contract.events, entry["name"])().process_log(full)["args"]
    except Exception:
        with pytest.raises(DecodingFailed):
            generate(entry).decode(log["topics"], full["data"])
        return
    ours = generate(entry).decode(log["topics"], full["data"])
    assert plain(ours) == tuple(plain(theirs[parameter["name"]]) for parameter in entry["inputs"])


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("psephos", "is not profile@"),
        ("nobody@0x" + "00" * 20, "no profile"),
        ("psephos@0x12", "is not profile@"),
    ],
)
def test_a_malformed_setting_is_refused_with_what_is_wrong(entry: str, message: str) -> None:
    with pytest.raises(ConfigurationRefused, match=message):
        configured_contracts([entry])


def test_no_contract_at_all_says_what_to_do(tmp_path: Any) -> None:
    with pytest.raises(ConfigurationRefused, match="deploy_contracts"):
        configured_contracts([], str(tmp_path / "none.json"))


def test_every_profile_names_events_that_its_abi_has() -> None:
    for profile in profiles().values():
        names = {decoder.name for decoder in profile.decoders.values()}
        assert set(profile.meanings) <= names
        assert set(profile.id_positions) <= names
