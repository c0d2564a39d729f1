"""The prover's process: it comes back after a crash, is ended when late, refuses altered files, leaves no zombie."""

import dataclasses
import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from zk.inputs import KINDS
from zk.prover.base import ProverCrashed, ProverFailed, ProverTimedOut, WitnessRefused
from zk.prover.native import NativeProver
from zk.prover.snarkjs import SnarkjsProver
from zk.registry import find_circuit
from zk.tests.inputs import MAKERS

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def prover():
    prover = NativeProver()
    yield prover
    prover.close()


@pytest.fixture
def files():
    return find_circuit("voice").files(for_proving=True)


def inputs(name: str = "voice") -> dict:
    return KINDS[name].read(MAKERS[name]())


def is_gone(pid: int) -> bool:
    """A zombie is not gone: it is still in /proc."""
    return not Path(f"/proc/{pid}").exists()


def wait_for(condition, what: str):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.slow
def test_it_stays_warm_between_proofs(prover, files):
    prover.load(files)
    first = prover.prove(files, inputs(), timeout_seconds=60)
    pid = prover.process.pid
    second = prover.prove(files, inputs(), timeout_seconds=60)
    assert prover.process.pid == pid
    # Proofs are randomised; what they say is not.
    assert first.proof != second.proof
    assert first.public_signals == second.public_signals


@pytest.mark.slow
def test_a_killed_prover_fails_this_request_and_serves_the_next(prover, files):
    prover.load(files)
    pid = prover.process.pid
    os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(ProverCrashed):
        # Stopped until it dies: whether it dies before or after the request arrives, the request fails or is new.
        prover._receive(time.monotonic() + 60)
    assert prover.prove(files, inputs(), timeout_seconds=60).public_signals
    assert prover.process.pid != pid
    assert is_gone(pid)


@pytest.mark.slow
def test_a_late_prover_is_ended_and_replaced(prover, files):
    prover.load(files)
    pid = prover.process.pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ProverTimedOut):
        prover.prove(files, inputs(), timeout_seconds=0.3)
    assert is_gone(pid)
    assert prover.prove(files, inputs(), timeout_seconds=60).public_signals


@pytest.mark.slow
def test_an_interrupted_caller_does_not_leave_its_answer_to_the_next(prover, files, monkeypatch):
    prover.load(files)

    class Interrupted(BaseException):
        pass

    def interrupt(deadline):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(prover, "_receive", interrupt)
        with pytest.raises(Interrupted):
            prover.prove(files, inputs() | {"votes": [0] * 10}, timeout_seconds=60)
    made = prover.prove(files, inputs(), timeout_seconds=60)
    assert made.public_signals[1] == str(inputs()["election"])


@pytest.mark.slow
def test_a_witness_that_does_not_satisfy_is_refused_by_name_of_the_constraint(prover, files):
    with pytest.raises(WitnessRefused, match="Voice"):
        prover.prove(files, inputs() | {"budget": 0}, timeout_seconds=60)
    with pytest.raises(WitnessRefused, match="votes takes 10"):
        prover.prove(files, inputs() | {"votes": [1]}, timeout_seconds=60)
    assert prover.prove(files, inputs(), timeout_seconds=60)


@pytest.mark.slow
def test_a_key_of_another_circuit_never_gives_a_proof(prover, files):
    """The library answers for any witness; verification after proving, against this circuit's key, stops it."""
    other = find_circuit("eligibility").files(for_proving=True)
    mixed = dataclasses.replace(files, name="mixed", zkey=other.zkey)
    with pytest.raises(ProverFailed):
        prover.prove(mixed, inputs(), timeout_seconds=60)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wasm", "zkey", "vkey"])
def test_an_altered_file_is_refused(prover, files, kind, tmp_path):
    content = bytearray(Path(getattr(files, kind)["path"]).read_bytes())
    content[-100] ^= 1
    altered = tmp_path / kind
    altered.write_bytes(content)
    changed = dataclasses.replace(files, **{kind: {"path": str(altered), "sha256": getattr(files, kind)["sha256"]}})
    with pytest.raises(ProverFailed) as caught:
        prover.prove(changed, inputs(), timeout_seconds=60)
    assert caught.value.code == "artifact_altered"
    assert hashlib.sha256(content).hexdigest() != getattr(files, kind)["sha256"]


@pytest.mark.slow
def test_the_prover_ends_soon_after_a_killed_parent():
    program = """
        import os, sys, time
        import django
        django.setup()
        from zk.prover.native import NativeProver
        from zk.registry import find_circuit
        prover = NativeProver()
        prover.load(find_circuit("voice").files(for_proving=True))
        print(prover.process.pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, cwd=ROOT)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_for(lambda: is_gone(pid), "the prover has ended")


@pytest.mark.slow
def test_secrets_do_not_appear_in_the_process_list(prover, files):
    prover.prove(files, inputs(), timeout_seconds=60)
    line = (
        Path(f"/proc/{prover.process.pid}/cmdline").read_bytes()
        + Path(f"/proc/{prover.process.pid}/environ").read_bytes()
    )
    assert str(inputs()["salt"]).encode() not in line
    assert b"DATABASE_URL" not in line
    assert b"SECRET_KEY" not in line


@pytest.mark.slow
def test_the_fallback_gives_the_same_answers(files, settings):
    prover = SnarkjsProver(node_modules=Path(settings.ZK_NODE_MODULES))
    made = prover.prove(files, inputs(), timeout_seconds=120)
    assert prover.verify(files, made.proof, made.public_signals)
    with pytest.raises(WitnessRefused, match="Voice"):
        prover.prove(files, inputs() | {"budget": 0}, timeout_seconds=120)
    with pytest.raises(ProverTimedOut):
        prover.prove(files, inputs(), timeout_seconds=0.01)
