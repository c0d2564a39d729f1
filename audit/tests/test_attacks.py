"""What somebody may do to bundles, to the store of exports, to checkpoints, and where nothing can be said."""

import json
import os
import shutil
import zipfile
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command

from audit.models import Checkpoint, Export, Verification
from audit.note import SigningKey
from audit.offline import verify_bundle
from audit.selectors import get_verifier_keys
from audit.services import export_log, sequence_all, verify_log, write_bundle
from audit.storage import WriteOnceFolder
from audit.tests.test_bundles import check, rewrite
from audit.tests.test_sequencing import tamper, write

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bundle(tmp_path):
    write(1)
    sequence_all()
    path = tmp_path / "log.zip"
    write_bundle(path=path)
    return path


@pytest.fixture
def folder(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as opened:
        opened.extractall(tmp_path / "folder")
    assert check(tmp_path / "folder") == (0, [])
    return tmp_path / "folder"


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
    return [str(finding) for finding in verify_log(processes=1)[1].findings]


def outcome():
    _, report = verify_log(processes=1)
    return report.exit_code, [str(finding) for finding in report.findings]


# ── bundles ──


def test_a_manifest_says_nothing_but_what_is_checked(bundle):
    message = "manifest.json: is not as an export writes it: it has other members, or in another way"
    for change in (
        lambda was: was.replace(b'{\n "format"', b'{\n "note": "x",\n "format"'),
        lambda was: was.replace(b' "first_seq": 0,\n', b' "first_seq": 7,\n "first_seq": 0,\n'),
        lambda was: was.replace(b'"bytes": ', b'"mode": 1,\n   "bytes": '),
        lambda was: json.dumps(json.loads(was)).encode(),
    ):
        assert check(rewrite(bundle, "manifest.json", change)) == (1, [message])


def test_a_manifest_with_a_file_more_that_is_there(bundle):
    entry = b'  "tile/7/000": {"sha256": "x", "bytes": 1},\n'
    changed = rewrite(bundle, "manifest.json", lambda was: was.replace(b' "files": {\n', b' "files": {\n' + entry))
    assert "tile/7/000: is in the manifest, but not of an export's files" in check(changed)[1]


def test_a_file_that_no_manifest_lists(folder, bundle):
    for name in (".DS_Store", "tile/.hidden", "__MACOSX/checkpoint"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert check(folder) == (0, [])
    for name in ("entries-corrected.jsonl", "tile/9", "a", "b", "c"):
        (folder / name).write_bytes(b"x")
    message = "is not of this export: its manifest does not list it"
    assert check(folder) == (1, [f"{name}: {message}" for name in ("a", "b", "c", "2 more files")])
    with zipfile.ZipFile(bundle, "a") as opened:
        opened.writestr("readme", "all is well")
    assert check(bundle) == (1, [f"readme: {message}"])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_files_of_one_name(bundle):
    with zipfile.ZipFile(bundle, "a") as opened:
        opened.writestr("entries.jsonl", opened.read("entries.jsonl"))
    code, [line] = check(bundle)
    assert (code, "two of its files have the same name" in line) == (2, True)


def test_a_link_a_pipe_a_folder_instead_of_a_file(folder):
    for name in ("entries.jsonl", "manifest.json", "checkpoint", "tile/0/000.p/1"):
        file = folder / name
        content = file.read_bytes()
        for put, said in (
            (lambda: file.symlink_to("/dev/zero"), "is a link, which no export has"),  # noqa: B023
            (lambda: file.symlink_to("/etc/passwd"), "is a link, which no export has"),  # noqa: B023
            (lambda: os.mkfifo(file), "is missing"),  # noqa: B023
            (file.mkdir, "is missing"),
        ):
            file.unlink()
            put()
            code, lines = check(folder)
            assert code in (1, 2)
            assert f"{name} {said}" in lines[-1].replace(":", "") or f"{name}: {said}" in lines
            if file.is_dir():
                file.rmdir()
                file.touch()
        file.unlink()
        file.write_bytes(content)
    assert check(folder) == (0, [])
    shutil.move(folder / "tile", folder.parent / "tile")
    (folder / "tile").symlink_to(folder.parent / "tile")
    code, lines = check(folder)
    assert (code, "is a link" in str(lines)) == (1, True)


def grown(content, by):
    """A manifest in which entries.jsonl is said to be larger, and to hold more entries."""

    def change(was):
        manifest = json.loads(was)
        manifest["files"]["entries.jsonl"]["bytes"] += by
        manifest["tree_size"] += by
        return json.dumps(manifest, indent=1).encode() + b"\n"

    return rewrite(rewrite(content, "manifest.json", change).rename(content.with_name("grown.zip")), "entries.jsonl",
                   lambda was: was + b"\n" * by)  # fmt: skip


def test_no_more_wrong_entries_are_kept_than_anybody_reads(bundle, monkeypatch):
    monkeypatch.setattr("audit.verification.bundles.checking.MAX_FOUND", 1000)
    monkeypatch.setattr("audit.verification.bundles.lines.BLOCK_BYTES", 4096)
    code, lines = check(grown(bundle, 50_000))
    assert code == 1
    assert "entries.jsonl: more than 1,000 entries are wrong; others may be" in lines
    assert any("is not a JSON object" in line for line in lines)


def test_what_unpacks_to_more_than_the_manifest_says_is_not_read_to_its_end(bundle, monkeypatch):
    read = []
    monkeypatch.setattr("audit.verification.bundles.lines.BLOCK_BYTES", 4096)
    whole = zipfile.ZipExtFile.read
    monkeypatch.setattr(zipfile.ZipExtFile, "read", lambda file, size=-1: read.append(size) or whole(file, size))
    for name in ("entries.jsonl", "checkpoint", "tile/0/000.p/1"):
        read.clear()
        code, lines = check(rewrite(bundle, name, lambda was: was + b"\n" * (8 << 20)))
        assert (code, f"{name}: is not the file that was exported (its SHA-256 differs)" in lines) == (1, True)
        assert len(read) < 20


def test_a_line_without_end(bundle, monkeypatch):
    monkeypatch.setattr("audit.verification.bundles.lines.MAX_LINE", 1 << 21)
    code, [line] = check(rewrite(bundle, "entries.jsonl", lambda was: b"x" * (4 << 20)))
    assert (code, "one of its lines is longer than any entry" in line) == (2, True)


def test_a_checkpoint_of_another_log_whose_key_is_known_too(bundle):
    other = SigningKey.generate("elsewhere.example/audit")
    with zipfile.ZipFile(bundle) as opened:
        manifest = json.loads(opened.read("manifest.json"))
    note = other.sign_checkpoint(1, bytes.fromhex(manifest["root_hash"])).encode()
    code, lines = check(rewrite(bundle, "checkpoint", lambda was: note), [*get_verifier_keys(), other.verifier()])
    assert code == 1
    assert "checkpoint: is of the log elsewhere.example/audit, not of psephos.localhost/insecure-development" in lines


def test_what_a_bundle_says_moves_no_cursor(bundle, capsys):
    origin = json.dumps("\x1b[2J\nThe log is whole\x00\u202e").encode()
    name = str(get_verifier_keys()[0].name).encode()
    forged = rewrite(bundle, "manifest.json", lambda was: was.replace(b'"' + name + b'"', origin))
    assert verify_bundle(forged, keys=[str(get_verifier_keys()[0])]) == 2
    said = capsys.readouterr().out
    assert "a bundle of another log: of \\x1b[2J\\nThe log is whole\\x00\\u202e, not of" in said
    assert said.count("\n") == 2


@pytest.mark.slow
def test_a_file_cut_anywhere_is_never_whole(folder):
    keys = get_verifier_keys()
    for name in ("manifest.json", "entries.jsonl", "checkpoint", "tile/0/000.p/1"):
        content = (folder / name).read_bytes()
        for length in range(0, len(content), 1 + len(content) // 200):
            (folder / name).write_bytes(content[:length])
            code, lines = check(folder, keys)
            assert code in (1, 2)
            assert name in lines[0]
        (folder / name).write_bytes(content)
    assert check(folder, keys) == (0, [])


@pytest.mark.slow
def test_a_zip_cut_at_any_byte_or_changed_is_never_a_traceback(bundle):
    content, keys = bundle.read_bytes(), get_verifier_keys()
    with zipfile.ZipFile(bundle) as opened:
        wanted = {name: opened.read(name) for name in opened.namelist()}
    for at in range(len(content)):
        bundle.write_bytes(content[:at])
        assert check(bundle, keys)[0] == 2
        if at % 5:
            continue
        bundle.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        code, _ = check(bundle, keys)
        if code == 0:
            with zipfile.ZipFile(bundle) as opened:
                assert {name: opened.read(name) for name in opened.namelist()} == wanted


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


def test_a_broken_database_keeps_what_was_found(exports):
    folder, names = exports
    shutil.rmtree(folder / names[2])
    try:
        tamper("ALTER TABLE audit_tile RENAME TO elsewhere")
        verification, report = verify_log(processes=1)
    finally:
        tamper("ALTER TABLE elsewhere RENAME TO audit_tile")
    lines = [str(finding) for finding in report.findings]
    assert f"export {names[2]}: is gone from the store" in lines
    assert lines[-1].startswith("the database: could not be checked to the end: UndefinedTable: ")
    assert (verification.outcome, report.exit_code) == ("tampered", 1)


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
