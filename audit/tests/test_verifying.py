"""What the verification takes in, says and exits with."""

import hashlib
import json
import os
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from audit.models import Entry, Verification
from audit.note import SigningKey
from audit.services import export_log, record, sequence_all, verify_log
from audit.tests.factories import findings, tamper, write
from audit.tests.roles import as_role

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def exports(log, export_folder):
    first = export_log()
    write(300)
    sequence_all()
    second = export_log()
    assert findings() == []
    return export_folder, first.name, second.name


def test_exports_join_and_agree_with_the_database(exports):
    report = verify_log(processes=1)
    assert (report.exit_code, report.counts["exports"]) == (0, 2)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["entries.jsonl", "checkpoint", "checkpoint.previous", "manifest.json", "tile/0/001", "tile/1/000.p/2"]
)
@pytest.mark.parametrize("how", ["changed", "cut", "removed"])
def test_each_file_of_an_export(exports, name, how):
    folder, _, second = exports
    file = folder / second / name
    content = file.read_bytes()
    file.unlink()
    if how == "changed":
        file.write_bytes(
            content[:100] + bytes([content[100] ^ 1]) + content[101:] if len(content) > 100 else b"x" + content[1:]
        )
    elif how == "cut":
        file.write_bytes(content[: len(content) // 2])
    report = verify_log(processes=1)
    assert report.exit_code == 1
    assert any(f"export {second}: " in str(finding) and name in str(finding) for finding in report.findings), (
        report.findings
    )


@pytest.mark.slow
def test_an_entry_changed_in_an_export_together_with_the_manifest(exports):
    folder, first, _ = exports
    entries, manifest = folder / first / "entries.jsonl", folder / first / "manifest.json"
    content = entries.read_bytes().replace(b'"thing:7"', b'"thing:8"')
    described = json.loads(manifest.read_bytes())
    described["files"]["entries.jsonl"]["sha256"] = hashlib.sha256(content).hexdigest()
    for file, new in ((entries, content), (manifest, json.dumps(described).encode())):
        file.unlink()
        file.write_bytes(new)
    found = findings()
    assert f"export {first}: entry 7: differs from the database's: target" in found
    assert f"export {first}: entry 7: is not the one in the tree's tile" in found
    assert f"export {first}: entry 8: previous: does not name the hash of the entry before it" in found
    assert f"export {first}: manifest.json: is not the one that was written" in found


@pytest.mark.slow
def test_a_whole_export_removed(exports):
    folder, first, _ = exports
    (folder / first).rename(folder.parent / "elsewhere")
    assert f"export {first}: is gone from the store" in findings()
    with as_role("postgres") as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute("DELETE FROM audit_export WHERE name = %s", [first])
    assert any("no export in the store holds them" in line for line in findings())


def test_a_row_of_an_export_changed(exports):
    _, first, _ = exports
    tamper(f"UPDATE audit_export SET root_hash = sha256('x') WHERE name = '{first}'")
    [in_store, logged] = findings()
    assert in_store == f"export {first}: root_hash: in the database is not the export's"
    assert logged.startswith(f'export {first}: root_hash: is "0x2d71')


@pytest.mark.slow
def test_an_export_of_another_log_in_the_store(exports, settings):
    assert exports
    settings.AUDIT_SIGNING_KEY = SigningKey.generate("elsewhere.example/audit").encode()
    assert any("a bundle of another log" in line for line in findings())


def test_the_command_exits_by_the_outcome(log, capsys):
    call_command("verify_audit", processes=1)
    assert "The log is whole: checked 1 checkpoint, 300 entries in " in capsys.readouterr().out
    tamper("UPDATE audit_entry SET actor = 'x' WHERE id = (SELECT entry_id FROM audit_leaf WHERE seq = 7)")
    with pytest.raises(CommandError) as ended:
        call_command("verify_audit", processes=1)
    assert ended.value.returncode == 1
    assert "entry 7: actor:" in capsys.readouterr().out
    assert [item.outcome for item in Verification.objects.all()] == ["tampered", "whole"]
    assert Verification.objects.first().findings[0]["place"] == "entry 7"
    assert {entry.actor for entry in Entry.objects.filter(action="audit.log.verified")} == {"command:verify_audit"}
    with pytest.raises(CommandError):
        call_command("verify_audit", "--json", processes=1)
    said = json.loads(capsys.readouterr().out)
    assert (said["outcome"], said["counts"]["entries"], said["tree_size"]) == ("tampered", 300, 300)
    assert (said["findings"][0]["place"], said["findings"][0]["is_tampering"]) == ("entry 7", True)


def test_what_cannot_be_checked_exits_with_2(log, settings, capsys):
    settings.AUDIT_ANCHOR_CONTRACT = "0x" + "1" * 40
    settings.CHAIN_RPC_URLS = ["http://127.0.0.1:9"]
    with pytest.raises(CommandError) as ended:
        call_command("verify_audit", processes=1)
    assert ended.value.returncode == 2
    assert "the node at http://127.0.0.1:9 did not answer" in capsys.readouterr().out


@pytest.mark.parametrize(
    "variables",
    [
        {"DATABASE_URL": "postgresql://nobody@127.0.0.1:9/none"},
        {"AUDIT_SIGNING_KEY": "x"},
    ],
)
@pytest.mark.slow
def test_a_database_or_setting_out_of_order_is_no_tampering(variables):
    done = subprocess.run(
        [sys.executable, "manage.py", "verify_audit"],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "The log could not be checked" in done.stdout or done.stderr.startswith("configuration: ")
    assert "Traceback" not in done.stdout + done.stderr


def test_a_forgotten_entry_is_said(log):
    record(action="tests.hidden")
    tamper("UPDATE audit_entry SET created_at = now() - interval '1 hour' WHERE action = 'tests.hidden'")
    [found] = findings()
    assert found.startswith("entries without a number: 1 of them wait for the sequencer")


@pytest.mark.slow
def test_several_processes_find_the_same(monkeypatch):
    monkeypatch.setattr("audit.verification.database.chunks.CHUNK_ENTRIES", 512)
    monkeypatch.setattr("audit.verification.database.chunks.PARALLEL_FROM", 512)
    write(1500)
    sequence_all()
    assert verify_log(processes=2).exit_code == 0
    tamper("UPDATE audit_leaf SET entry_hash = sha256('x') WHERE seq IN (511, 1300)")
    assert [str(finding) for finding in verify_log(processes=2).findings] == [
        "entry 511: entry_hash: is not the SHA-256 of its canonical bytes",
        "entry 1300: entry_hash: is not the SHA-256 of its canonical bytes",
    ]
    tamper("DELETE FROM audit_leaf WHERE seq = 700")
    assert "entry 700: missing from the chain" in findings()


def test_entries_of_any_content_verify(log):
    nasty = ['"', "\\", "\n\t\r\b\f\v", "\x01\x1f\x7f", "é€😀\ue000", "\\N", "a\\tb", "", " ", "\u2028", "</script>"]
    for text in nasty:
        record(action="tests.nasty", actor=f"user:{text}", target=text, data={"k" + text: [text, {text: text}], "z": 1})
    with as_role("psephos_app") as app:
        app.execute(
            "INSERT INTO audit_entry (id, created_at, action, actor, target, data, request_id) VALUES"
            " (gen_random_uuid(), '2020-01-01 00:00:00.5+00', 'tests.float', 'a', '', '{\"f\": 1.50, \"e\": 1e21}', '')"
        )
    sequence_all()
    assert findings() == []


def test_an_entry_of_a_long_transaction_is_found_far_from_its_time(log):
    with as_role("postgres") as superuser:
        superuser.execute(
            "INSERT INTO audit_entry (id, created_at, action, actor, target, data, request_id)"
            " VALUES ('00000000-0000-7000-8000-000000000001', '1970-01-01', 'tests.old', 'a', '', '{}', '')"
        )
    write(10)
    sequence_all()
    assert findings() == []
