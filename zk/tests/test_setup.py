"""Files, manifest and keys: what is committed is what the manifest names, and dev keys are refused where they must."""

import dataclasses
import json
import lzma
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from deploy.local.lint import production_environment
from zk import registry
from zk.exceptions import ArtifactAltered, ArtifactMissing, CircuitUnknown, DevelopmentKeysRefused
from zk.inputs import KINDS
from zk.registry import COMMITTED, all_circuits, find_circuit, unpack, usable_circuit
from zk.services.setup import (
    DEVELOPMENT_BEACON,
    OWN_CIRCUITS,
    SetupFailed,
    _node,
    compiled,
    hash_file,
    hash_sources,
    read_raw_manifest,
    verify_setup,
)

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
def test_every_file_is_the_manifests_and_every_key_has_its_contributions():
    findings = verify_setup()
    assert {finding.circuit.label for finding in findings} == {"eligibility@1", "voice@1", "batch_tally@1"}
    assert [fault for finding in findings for fault in finding.faults] == []
    notes = {finding.circuit.name: " ".join(finding.notes) for finding in findings}
    assert "386 contributions" in notes["eligibility"]


def test_the_manifest_describes_what_is_served():
    for name, versions in all_circuits().items():
        assert name in KINDS
        for circuit in versions.values():
            vkey = json.loads(circuit.path("vkey").read_text())
            assert vkey["nPublic"] == len(circuit.public_signals)
            assert circuit.is_development == (name in OWN_CIRCUITS)
    for name in OWN_CIRCUITS:
        entry = read_raw_manifest()["circuits"][name]["1"]
        assert entry["beacon"] == DEVELOPMENT_BEACON


def test_the_circuits_sources_are_those_that_the_committed_files_were_compiled_from():
    """`zk_verify_setup --rebuild` compiles them again; this says in a millisecond that it would find a difference."""
    for name in OWN_CIRCUITS:
        circuit = find_circuit(name)
        assert hash_sources(name) == read_raw_manifest()["circuits"][name]["1"]["sources_sha256"]
        assert circuit.artifacts["r1cs"].sha256 == circuit.r1cs_sha256


@pytest.mark.slow
def test_voice_compiles_to_the_committed_files():
    with compiled("voice") as build:
        assert build.r1cs_sha256 == find_circuit("voice").r1cs_sha256
        assert hash_file(build.wasm) == find_circuit("voice").artifacts["wasm"].sha256


def test_the_committed_contract_holds_the_verification_key():
    for name, own in OWN_CIRCUITS.items():
        source = (ROOT / "chain" / "contracts" / f"{own.verifier}.sol").read_text()
        vkey = json.loads(find_circuit(name).path("vkey").read_text())
        for x, y, _ in vkey["IC"]:
            assert x in source
            assert y in source
        assert vkey["vk_delta_2"][0][0] in source


@pytest.fixture
def copied(tmp_path, monkeypatch, settings):
    """A copy of `voice` with a manifest of its own, as an operator's folder of ceremony keys."""
    shutil.copytree(COMMITTED / "voice", tmp_path / "voice")
    entry = read_raw_manifest()["circuits"]["voice"]["1"] | {"is_development": False, "origin": "a ceremony"}
    (tmp_path / "manifest.json").write_text(json.dumps({"circuits": {"voice": {"2": entry}}}))
    settings.ZK_EXTRA_ARTIFACTS = str(tmp_path)
    settings.ZK_WORK_DIR = str(tmp_path / "work")
    return tmp_path


def test_a_new_version_serves_while_the_old_one_keeps_serving(copied, settings):
    assert find_circuit("voice").version == 2
    assert find_circuit("voice", 1).version == 1
    assert find_circuit("batch_tally").version == 1
    settings.ZK_ALLOW_DEVELOPMENT_KEYS = False
    assert usable_circuit("voice").version == 2
    with pytest.raises(DevelopmentKeysRefused):
        usable_circuit("voice", 1)
    with pytest.raises(DevelopmentKeysRefused):
        usable_circuit("batch_tally")
    with pytest.raises(CircuitUnknown):
        usable_circuit("voice", 3)


@pytest.mark.slow
def test_development_keys_that_pose_as_ceremony_keys_are_found(copied):
    faults = {finding.circuit.label: finding.faults for finding in verify_setup(names=["voice"])}
    assert faults["voice@1"] == []
    assert faults["voice@2"] == ["the key ends in the development beacon but is not marked as a development key"]


@pytest.mark.slow
def test_an_altered_file_is_found_and_never_unpacked(copied):
    packed = copied / "voice" / "1" / "circuit.zkey.xz"
    content = bytearray(lzma.decompress(packed.read_bytes()))
    content[5000] ^= 1
    packed.write_bytes(lzma.compress(bytes(content)))
    circuit = find_circuit("voice", 2)
    with pytest.raises(ArtifactAltered):
        circuit.path("zkey")
    [finding] = [one for one in verify_setup(names=["voice"]) if one.circuit.label == "voice@2"]
    assert finding.faults


def test_a_missing_file_is_said(copied):
    circuit = find_circuit("voice", 2)
    artifact = dataclasses.replace(circuit.artifacts["zkey"], source="voice/1/nothing.zkey.xz")
    with pytest.raises(ArtifactMissing):
        unpack(artifact)


@pytest.mark.slow
def test_the_command_says_what_it_found(copied, capsys):
    with pytest.raises(CommandError):
        call_command("zk_verify_setup", "--circuit", "voice")
    assert "FAULT the key ends in the development beacon" in capsys.readouterr().out


def test_setup_needs_a_known_circuit(tmp_path, capsys):
    file = tmp_path / "powers"
    file.write_bytes(b"")
    with pytest.raises(CommandError):
        call_command("zk_setup", "--ptau", str(file), "--circuit", "nothing")
    assert not (tmp_path / "manifest.json").exists()


def test_a_check_of_a_circuit_that_there_is_not_finds_more_than_nothing():
    with pytest.raises(CommandError, match=r"unknown circuit: moon; there are .*voice"):
        call_command("zk_verify_setup", "--circuit", "moon")


def test_a_tool_that_failed_is_quoted_in_one_line():
    with pytest.raises(SetupFailed, match=r"^-e: Error: no such key") as raised:
        _node("-e", "throw new Error('no such key')")
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_production_does_not_serve_development_keys():
    program = (
        "import django; django.setup(); from zk.registry import usable_circuit\n"
        "from zk.exceptions import DevelopmentKeysRefused\n"
        "usable_circuit('eligibility')\n"
        "for name in ('voice', 'batch_tally'):\n"
        "    try: usable_circuit(name)\n"
        "    except DevelopmentKeysRefused: print(name, 'refused')\n"
    )
    import os

    environment = {"PATH": os.environ["PATH"], **production_environment()}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert done.stdout.split("\n")[:2] == ["voice refused", "batch_tally refused"], done.stderr[-2000:]


@pytest.fixture(autouse=True)
def _fresh_registry():
    yield
    registry._load.cache_clear()
