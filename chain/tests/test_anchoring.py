"""The audit log's roots on chain: anchored once, and read back by the verification without our chain code."""

from typing import Any

import pytest
from django.core.management import call_command

from audit.models import Anchor, Entry
from audit.note import SigningKey
from audit.services import record, sequence_all, verify_log
from audit.tests.factories import rewrite_everything, tamper
from chain.exceptions import TransactionReverted
from chain.nodes import Nodes
from chain.services import anchor_audit_root, start_anchoring
from chain.tests.factories import OWNER, Ground

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def contract(anvil: str, settings: Any, tmp_path: Any) -> str:
    ground = Ground(anvil)
    settings.CHAIN_RPC_URLS = [anvil]
    settings.CHAIN_DEPLOYMENT_FILE = ""
    settings.AUDIT_EXPORT_STORAGE = {"BACKEND": "audit.storage.WriteOnceFolder", "OPTIONS": {"location": tmp_path}}
    address = ground.deploy("AuditAnchor", OWNER.address).lower()
    settings.AUDIT_ANCHOR_CONTRACT = address
    return address


def grow(count: int) -> int:
    for number in range(count):
        record(action="tests.written", target=f"thing:{number}")
    sequence_all()
    return Entry.objects.count()


def anchor(tree_size: int, anvil: str) -> dict[str, Any]:
    return anchor_audit_root(nodes=Nodes([anvil], chain_id=31337), tree_size=tree_size)


def test_a_root_is_anchored_once_and_verified(contract: str, anvil: str, capsys: Any) -> None:
    size = grow(5)
    first = anchor(size, anvil)
    assert anchor(size, anvil) == first
    assert Anchor.objects.get().tree_size == size
    assert Entry.objects.filter(action="audit.log.anchored").count() == 1
    report = verify_log(processes=1)
    assert (report.findings, report.counts["anchors"]) == ([], 1)
    sequence_all()
    call_command("anchor_audit")
    assert "anchored size" in capsys.readouterr().out
    assert Anchor.objects.count() == 2
    assert verify_log(processes=1).counts["anchors"] == 2


def test_a_smaller_root_is_refused_by_the_contract(contract: str, anvil: str) -> None:
    small, large = grow(3), grow(3)
    anchor(large, anvil)
    with pytest.raises(TransactionReverted) as refused:
        anchor(small, anvil)
    assert refused.value.extra == {"contract_error": "SizeNotGrown"}


def test_a_full_rewrite_with_the_key_is_betrayed_by_the_chain(contract: str, anvil: str, settings: Any) -> None:
    anchor(grow(20), anvil)
    rewrite_everything(SigningKey.parse(settings.AUDIT_SIGNING_KEY))
    found = [str(finding) for finding in verify_log(processes=1).findings]
    assert any(line.startswith("anchor 0 (size 20, block ") and "do not have the root" in line for line in found), found


def test_a_forged_row_of_an_anchor_is_found(contract: str, anvil: str) -> None:
    anchor(grow(5), anvil)
    tamper("UPDATE audit_anchor SET root_hash = sha256('x')")
    [on_chain, logged] = [str(finding) for finding in verify_log(processes=1).findings]
    assert on_chain == "anchor of size 5: the chain does not have it as it is stored here"
    assert logged.startswith('anchor of size 5: root_hash: is "0x2d71')


def found() -> list[str]:
    return [str(finding) for finding in verify_log(processes=1).findings]


def test_an_anchor_in_a_former_contract_is_checked_there(contract: str, anvil: str, settings: Any) -> None:
    anchor(grow(5), anvil)
    settings.AUDIT_ANCHOR_CONTRACT = Ground(anvil).deploy("AuditAnchor", OWNER.address).lower()
    size = grow(1)
    anchor(size, anvil)
    report = verify_log(processes=1)
    assert (report.findings, report.counts["anchors"]) == ([], 2)
    tamper("UPDATE audit_anchor SET root_hash = sha256('x') WHERE tree_size = 5")
    assert "anchor of size 5: the chain does not have it as it is stored here" in found()


def test_a_node_of_another_chain_is_no_tampering(contract: str, anvil: str, settings: Any) -> None:
    anchor(grow(5), anvil)
    settings.CHAIN_ID = 5
    [line] = found()
    assert line == f"anchors on chain 5 in {contract}: cannot be read: the node at {anvil} is of chain 31337"
    tamper("UPDATE audit_anchor SET chain_id = 6")
    report = verify_log(processes=1)
    assert "anchor of size 5: chain_id: is 6, was logged as 31337" in map(str, report.findings)
    assert report.exit_code == 1


def test_roots_on_chain_that_the_log_never_had(contract: str, anvil: str) -> None:
    size = grow(5)
    ground = Ground(anvil)
    ground.transact("anchor", size - 2, b"r" * 32, to=contract, contract="AuditAnchor")
    ground.transact("anchor", size + 40, b"r" * 32, to=contract, contract="AuditAnchor")
    lines = found()
    assert f"anchor 0 (size {size - 2}, block " in lines[-1]
    assert "the entries of today do not have the root that it vouches for" in lines[-1]
    assert any(f"checkpoint of size {size - 2}: is gone, anchor 0 " in line for line in lines)
    assert any("the log's tail was cut, anchor 1 (size" in line for line in lines)


def test_the_daily_job_is_started_once_a_size(contract: str, anvil: str) -> None:
    assert start_anchoring() is None
    grow(5)
    job = start_anchoring()
    assert job is not None
    assert (job.type, job.input) == ("chain.anchor_audit_root", {"tree_size": 5})
    again = start_anchoring()
    assert again is not None
    assert again.pk == job.pk


def test_a_deployment_leaves_an_entry(anvil: str, settings: Any, tmp_path: Any) -> None:
    settings.CHAIN_RPC_URLS = [anvil]
    call_command("deploy_contracts", output=str(tmp_path / "addresses.json"))
    entry = Entry.objects.get(action="chain.contracts.deployed")
    assert entry.target == "chain:31337"
    assert entry.data["addresses"]["AuditAnchor"].startswith("0x")
