"""What somebody may do to the store of exports, to checkpoints, and where nothing can be said."""

import json
import os
import shutil
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command

from audit.models import Checkpoint, Entry, Export, Verification
from audit.services import export_log, sequence_all, verify_log
from audit.storage import WriteOnceFolder
from audit.tests.factories import tamper, write
from audit.tests.test_bundles import check

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def exports(export_folder):
    """Three exports in a row, and a checkpoint more."""
    for _ in range(3):
        write(4)
        sequence_all()
        export_log()
    write(1)
    sequence_all()
    assert found() == []
    return export_folder, [export.name for export in Export.objects.order_by("id")]


def found():
    return [str(finding) for finding in verify_log(processes=1).findings]


def outcome():
    report = verify_log(processes=1)
    return report.exit_code, [str(finding) for finding in report.findings]


# ── the store of exports ──


def test_two_histories_that_were_signed_with_the_key(export_folder, tmp_path):
    def grow():
        write(4)
        sequence_all()
        return export_folder / export_log().name

    shutil.copytree(grow(), tmp_path / "both" / "1")
    tamper(*(f"DELETE FROM audit_{table}" for table in ("leaf", "entry", "tile", "checkpoint", "export")))
    shutil.rmtree(export_folder)
    grow()
    shutil.copytree(grow(), tmp_path / "both" / "2")
    for name in ("1", "2"):
        assert check(tmp_path / "both" / name) == (0, [])
    assert check(tmp_path / "both") == (1, ["2: the log was signed with another root at 4 entries than in 1"])


def test_an_export_of_a_day_before_is_no_gap(export_folder, tmp_path, monkeypatch):
    moment = datetime(2026, 5, 5, 12, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return moment

    monkeypatch.setattr("audit.services.sequencing.datetime", Clock)
    for _ in range(3):
        write(2)
        sequence_all()
        export_log()
        moment -= timedelta(days=1)
    monkeypatch.undo()
    assert sorted(path.name for path in export_folder.iterdir())[0].startswith("2026-05-03-")
    assert check(export_folder) == (0, [])


@pytest.mark.slow
def test_a_copy_of_an_export(exports):
    folder, names = exports
    shutil.copytree(folder / names[1], folder / "2026-01-01-000000000001")
    assert found() == [
        f"export 2026-01-01-000000000001: its name: is not the one of its checkpoint, {names[1]}",
    ]
    (folder / names[1]).rename(folder / "moved")
    assert f"export {names[1]}: is gone from the store" in found()


def test_a_file_more_in_an_export(exports):
    folder, names = exports
    (folder / names[1] / "tile/0/x001").mkdir(parents=True)
    (folder / names[1] / "tile/0/x001/note").write_bytes(b"x")
    assert found() == [f"export {names[1]}: tile/0/x001/note: is not of this export: its manifest does not list it"]


class Away(WriteOnceFolder):
    """A store that lists its exports and then gives none."""

    def _open(self, name, mode="rb"):
        raise ConnectionResetError("the bucket is away")


class AllAway(WriteOnceFolder):
    def listdir(self, path):
        raise PermissionError("no")


@pytest.mark.parametrize("store", ["Away", "AllAway"])
def test_a_store_that_is_away_is_no_tampering(exports, settings, store, capsys):
    settings.AUDIT_EXPORT_STORAGE = settings.AUDIT_EXPORT_STORAGE | {"BACKEND": f"{__name__}.{store}"}
    with pytest.raises(CommandError) as ended:
        call_command("verify_audit", processes=1)
    assert ended.value.returncode == 2
    said = capsys.readouterr().out
    assert "The log could not be checked" in said
    assert "no export in the store holds them" not in said
    assert Verification.objects.first().outcome == "unchecked"
    tamper("UPDATE audit_entry SET actor = 'x' WHERE id = (SELECT entry_id FROM audit_leaf WHERE seq = 2)")
    code, lines = outcome()
    assert (code, any(line.startswith("entry 2: actor:") for line in lines)) == (1, True)


def test_no_name_and_no_manifest_in_the_store_ends_the_verification(exports):
    folder, names = exports
    os.makedirs(os.fsencode(folder) + b"/2026-\xff\x1b")
    content = json.loads((folder / names[0] / "manifest.json").read_bytes())
    (folder / "2026-\udcff\x1b" / "manifest.json").write_text(json.dumps(content | {"origin": "\x00\ud83d\ude00"}))
    code, [line] = outcome()
    assert code == 1
    assert line.startswith("export 2026-\\udcff\\x1b: manifest.json: a bundle of another log: of \\x00😀, not of")
    assert Verification.objects.first().findings[0]["place"].startswith("export 2026-\\udcff")


def test_an_export_that_was_interrupted_is_none(exports):
    folder, names = exports
    (folder / "2026-01-01-000000000099").mkdir()
    assert found() == []
    (folder / "2026-01-01-000000000099" / "manifest.json").write_bytes(b'{"format"')
    assert found() == []
    (folder / names[1] / "manifest.json").chmod(0o644)
    (folder / names[1] / "manifest.json").write_bytes(b'{"format"')
    assert any(line.startswith(f"export {names[1]}: manifest.json: ") for line in found())


# ── checkpoints ──


def test_a_checkpoint_that_an_export_was_made_from_is_gone(exports):
    _, names = exports
    second = Export.objects.get(name=names[1])
    tamper(f"DELETE FROM audit_checkpoint WHERE tree_size = {second.tree_size}")
    [line] = found()
    assert line.startswith(f"checkpoint of size {second.tree_size}: is gone, export ")


def test_a_checkpoint_twice(exports):
    tamper(
        "INSERT INTO audit_checkpoint (created_at, tree_size, root_hash, note)"
        " SELECT created_at, tree_size, root_hash, note FROM audit_checkpoint ORDER BY id DESC LIMIT 1"
    )
    [line] = found()
    assert line.endswith(f": is not larger than one before it ({Checkpoint.objects.first().tree_size})")


def test_checkpoints_out_of_order(exports):
    tamper("UPDATE audit_checkpoint SET id = id + 1000 WHERE id = (SELECT min(id) FROM audit_checkpoint)")
    [line] = found()
    assert ": is not larger than one before it" in line


# ── the database ──


def verify_meanwhile(exports, change, back):
    """Verify while an export is gone from the store and the schema is changed; return the report and its last line."""
    folder, names = exports
    shutil.rmtree(folder / names[2])
    try:
        tamper(change)
        report = verify_log(processes=1)
    finally:
        tamper(back)
    lines = [str(finding) for finding in report.findings]
    assert f"export {names[2]}: is gone from the store" in lines
    return report, lines[-1]


def test_a_broken_database_keeps_what_was_found(exports):
    report, last = verify_meanwhile(
        exports, "ALTER TABLE audit_tile RENAME TO elsewhere", "ALTER TABLE elsewhere RENAME TO audit_tile"
    )
    assert last.startswith("the database: could not be checked to the end: UndefinedTable: ")
    assert (Verification.objects.first().outcome, report.exit_code) == ("tampered", 1)


def test_an_outcome_that_cannot_be_kept_is_not_lost(exports):
    before = Verification.objects.count(), Entry.objects.count()
    rename = "ALTER TABLE audit_verification RENAME COLUMN {} TO {}"
    report, last = verify_meanwhile(
        exports, rename.format("outcome", "elsewhere"), rename.format("elsewhere", "outcome")
    )
    assert last.startswith("this verification: could not be kept: ")
    assert report.exit_code == 1
    assert (Verification.objects.count(), Entry.objects.count()) == before


def test_rows_that_nobody_can_read_end_no_verification(exports):
    _, names = exports
    try:
        tamper(
            "UPDATE audit_export SET created_at = 'infinity'",
            "ALTER TABLE audit_export ALTER COLUMN manifest_sha256 DROP NOT NULL",
            f"UPDATE audit_export SET manifest_sha256 = NULL WHERE name = '{names[1]}'",
        )
        code, lines = outcome()
    finally:
        tamper("DELETE FROM audit_export", "ALTER TABLE audit_export ALTER COLUMN manifest_sha256 SET NOT NULL")
    assert code == 1
    assert not any(f"export {names[0]}: manifest" in line or f"export {names[2]}: manifest" in line for line in lines)
    for name in names:
        assert any(line.startswith(f'export {name}: created_at: is "infinity", was logged as "20') for line in lines)
    assert any(line.startswith(f"export {names[1]}: manifest_sha256: is null, was logged as") for line in lines)
    assert any(line.startswith(f"export {names[1]}: manifest.json: could not be checked: TypeError") for line in lines)


def test_columns_that_no_superuser_may_empty_but_does(exports):
    emptied = [("entry", "actor"), ("entry", "data"), ("leaf", "body"), ("tile", "hashes"), ("checkpoint", "note")]
    write(250)
    sequence_all()
    try:
        tamper(
            *(f"ALTER TABLE audit_{table} ALTER COLUMN {column} DROP NOT NULL" for table, column in emptied),
            "UPDATE audit_entry SET actor = NULL, data = NULL FROM audit_leaf WHERE id = entry_id AND seq = 2",
            "UPDATE audit_leaf SET body = NULL WHERE seq = 3",
            "UPDATE audit_tile SET hashes = NULL",
            "UPDATE audit_checkpoint SET note = NULL WHERE id = (SELECT min(id) FROM audit_checkpoint)",
            "UPDATE audit_export SET created_at = 'epoch'",
        )
        code, lines = outcome()
    finally:
        tamper("TRUNCATE audit_entry, audit_leaf, audit_tile, audit_checkpoint CASCADE")
        tamper(*(f"ALTER TABLE audit_{table} ALTER COLUMN {column} SET NOT NULL" for table, column in emptied))
    assert code == 1
    for line in (
        "entry 2: actor: is empty, which audit_entry does not allow",
        "entry 2: data: is empty, which audit_entry does not allow",
        "entry 3: body: is empty, which audit_leaf does not allow",
        "tile 0/0: hashes: is empty, which audit_tile does not allow",
    ):
        assert line in lines
    assert any(line.endswith("not a signed note: no empty line before its signatures") for line in lines)
    assert any("created_at: is " in line for line in lines)
    assert lines[-1].startswith("the database: could not be checked to the end: ")


# ── the chain ──


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"eth_call": "0x" + "ff" * 32}, "says that it holds 1157920892"),
        ({"eth_call": "0x"}, "there is no AuditAnchor contract at"),
        ({"eth_chainId": None}, "did not answer: AttributeError"),
        ({"eth_chainId": "x"}, "did not answer: ValueError"),
        ({"eth_chainId": "0x1"}, "is of chain 1"),
    ],
)
def test_a_node_that_talks_nonsense_is_no_tampering(settings, monkeypatch, answers, said):
    settings.AUDIT_ANCHOR_CONTRACT = "0x" + "1" * 40
    results = {"eth_chainId": hex(settings.CHAIN_ID)} | answers

    def post(url, *, json, timeout):
        return SimpleNamespace(json=lambda: {"result": results[json["method"]]})

    monkeypatch.setattr("requests.post", post)
    code, [line] = outcome()
    assert (code, said in line) == (2, True), line
