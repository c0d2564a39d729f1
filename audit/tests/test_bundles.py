import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from audit.exceptions import NothingToExport
from audit.models import Entry, Export
from audit.note import SigningKey
from audit.selectors import get_verifier_keys
from audit.services import export_log, sequence_all
from audit.tests.factories import make_bundle, tamper, write
from audit.verification.bundles import verify_path, write_manifest

pytestmark = pytest.mark.django_db(transaction=True)
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path, 300)


def check(path, keys=None):
    report = verify_path(Path(path), keys=keys or get_verifier_keys())
    return report.exit_code, [str(finding) for finding in report.findings]


def test_a_whole_bundle(bundle):
    assert check(bundle) == (0, [])
    assert Entry.objects.filter(action="audit.bundle.written").exists()


@pytest.mark.slow
@pytest.mark.parametrize("cpus", [1, 2])
def test_blocks_join_wherever_they_are_cut(bundle, monkeypatch, cpus):
    monkeypatch.setattr("audit.verification.bundles.lines.BLOCK_BYTES", 1000)
    monkeypatch.setattr("audit.verification.bundles.lines.PARALLEL_FROM", 1)
    monkeypatch.setattr("os.cpu_count", lambda: cpus)
    assert check(bundle) == (0, [])
    changed = rewrite(bundle, "entries.jsonl", lambda was: was.replace(b"thing:7", b"thing:8"))
    code, found = check(changed)
    assert code == 1
    assert found[0] == "entries.jsonl: is not the file that was exported (its SHA-256 differs)"
    for changed_entry in ("entry 7", "entries 70 to 79"):
        assert f"{changed_entry}: is not the one in the tree's tile" in found
    assert "entry 8: previous: does not name the hash of the entry before it" in found
    assert "entries 71 to 80: previous: does not name the hash of the entry before it" in found


def test_a_bundle_from_a_checkpoint_on(bundle, tmp_path):
    write(400)
    sequence_all()
    call_command("export_audit", bundle=tmp_path / "part.zip", first=300)
    assert check(tmp_path / "part.zip") == (0, [])
    with pytest.raises(CommandError, match="no signed checkpoint of this size"):
        call_command("export_audit", bundle=tmp_path / "no.zip", first=7)
    with pytest.raises(CommandError, match="covers anything new"):
        call_command("export_audit", bundle=tmp_path / "no.zip", first=9000)


def test_exports_in_a_row_check_as_one(bundle, export_folder):
    export_log()
    for count in (5, 600, 40):
        write(count)
        sequence_all()
        export_log()
    assert check(export_folder) == (0, [])
    [second] = Export.objects.filter(first_seq=300)
    assert check(export_folder / second.name) == (0, [])
    shutil.rmtree(export_folder / second.name)
    code, found = check(export_folder)
    assert code == 1
    assert "no export here holds them" in found[0]


def test_an_export_is_written_once_and_again_to_the_same_bytes(bundle, export_folder):
    export = export_log()
    before = {file: file.read_bytes() for file in (export_folder / export.name).rglob("*") if file.is_file()}
    (export_folder / export.name / "manifest.json").unlink()
    tamper("DELETE FROM audit_export")
    again = export_log()
    assert again.name == export.name
    assert {file: file.read_bytes() for file in (export_folder / again.name).rglob("*") if file.is_file()} == before
    with pytest.raises(CommandError, match="covers anything new"):
        call_command("export_audit")


def test_of_two_exports_at_once_one_is_recorded(bundle, export_folder, monkeypatch):
    names = []

    def meanwhile(manifest):
        if not names:
            names.append("")
            names[0] = export_log().name
        return write_manifest(manifest)

    monkeypatch.setattr("audit.services.exporting.write_manifest", meanwhile)
    with pytest.raises(NothingToExport):
        export_log()
    assert [export.name for export in Export.objects.all()] == names
    assert Entry.objects.filter(action="audit.log.exported").count() == 1
    assert check(export_folder) == (0, [])


def rewrite(bundle, name, change):
    """Replace one file of a bundle."""
    out = bundle.with_name("changed.zip")
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(out, "w") as new:
        for item in old.namelist():
            content = old.read(item)
            if item == name:
                content = change(content)
            if content is not None:
                new.writestr(item, content)
    return out


def sized(size):
    return lambda was: was.replace(b'"tree_size": 300', b'"tree_size": ' + size)


@pytest.mark.parametrize(
    ("name", "change", "code", "said"),
    [
        ("entries.jsonl", lambda was: was.replace(b"thing:7", b"thing:8"), 1, "entry 7: is not the one"),
        ("entries.jsonl", lambda was: was[:-30], 1, "entries.jsonl: was cut"),
        ("entries.jsonl", lambda was: was + was, 1, "holds 600 entries, not the 300 of the manifest"),
        ("entries.jsonl", lambda was: b"\xff\n[]\n7\n{}\n" + b"[" * 100_000, 1, "entries 0 to 2: is not a JSON object"),
        ("entries.jsonl", lambda was: None, 1, "entries.jsonl: is missing"),
        ("checkpoint", lambda was: was.replace(b"\n300\n", b"\n299\n"), 1, "checkpoint: the signature by"),
        ("checkpoint", lambda was: b"\xff", 1, "checkpoint: not a signed note"),
        ("checkpoint", lambda was: None, 1, "checkpoint: is missing"),
        ("tile/0/000", lambda was: bytes(8192), 1, "tile/0/000: is not the file that was exported"),
        ("tile/0/000", lambda was: None, 1, "tile/0/000: is missing"),
        ("manifest.json", lambda was: was[:50], 2, "manifest.json is not an export's manifest"),
        ("manifest.json", lambda was: b"[]", 2, "manifest.json is not an export's manifest"),
        ("manifest.json", lambda was: None, 2, "manifest.json is missing"),
        ("manifest.json", lambda was: was.replace(b"export/1", b"export/9"), 2, "its format is"),
        ("manifest.json", sized(b"0"), 2, "no range of entries"),
        ("manifest.json", sized(b"-1"), 2, "not a count"),
        ("manifest.json", sized(b"1e999"), 2, "not an export's manifest"),
        ("manifest.json", sized(b"9223372036854775807"), 1, "not the 9223372036854775807"),
        ("manifest.json", sized(b"299"), 1, "not those of the signed checkpoint"),
        ("manifest.json", lambda was: was.replace(b'"checkpoint"', b'"../../checkpoint"'), 2, "which no export has"),
        ("manifest.json", lambda was: was.replace(b'"tile/0/000"', b'"tile/0/009"'), 1, "is missing from the manifest"),
    ],
)  # fmt: skip
def test_a_damaged_or_forged_bundle(bundle, name, change, code, said):
    got, found = check(rewrite(bundle, name, change))
    assert got == code, found
    assert any(said in line for line in found), found


def test_a_forged_bundle_with_a_fitting_manifest_lacks_the_signature(bundle, tmp_path, settings):
    forger = SigningKey.generate("psephos.localhost/insecure-development")
    with zipfile.ZipFile(bundle) as old:
        root = bytes.fromhex(json.loads(old.read("manifest.json"))["root_hash"])
    note = forger.sign_checkpoint(300, root).encode()
    code, found = check(rewrite(bundle, "checkpoint", lambda was: note))
    assert code == 1
    assert any("not by psephos.localhost" in line for line in found)


@pytest.mark.parametrize("keep", [0, 10, 0.3, 0.9, 0.999])
def test_a_truncated_zip(bundle, keep):
    content = bundle.read_bytes()
    bundle.write_bytes(content[: int(len(content) * keep) if keep < 1 else keep])
    code, found = check(bundle)
    assert code == 2
    assert "not a whole zip file" in found[0]


def contents(path):
    with zipfile.ZipFile(path) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_a_zip_with_a_flipped_byte_is_ok_only_where_its_files_are_the_same(bundle):
    content, wanted = bundle.read_bytes(), contents(bundle)
    for at in range(0, len(content), max(1, len(content) // 60)):
        bundle.write_bytes(content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :])
        code, found = check(bundle)
        assert found or (code == 0 and contents(bundle) == wanted)


def test_a_bundle_of_another_log(bundle):
    code, found = check(bundle, [SigningKey.generate("elsewhere.example/audit").verifier()])
    assert code == 2
    assert (
        "a bundle of another log: of psephos.localhost/insecure-development, not of elsewhere.example/audit" in found[0]
    )


def run(*arguments, **variables):
    # An outsider's machine: neither our settings nor a database.
    environment = {
        "PATH": "/usr/bin:/bin",
        "DATABASE_POOL_SIZE": "several",
        "DJANGO_SETTINGS_MODULE": "none",
    } | variables
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_the_offline_command_needs_the_key_and_nothing_else(bundle, tmp_path):
    key = str(get_verifier_keys()[0])
    code, said = run("manage.py", "verify_audit", "--bundle", str(bundle), "--key", key)
    assert (code, "The log is whole: checked 300 entries" in said) == (0, True), said
    assert run("-m", "audit.offline", str(bundle), AUDIT_VERIFIER_KEYS=key)[0] == 0
    code, said = run("manage.py", "verify_audit", f"--bundle={bundle}")
    assert (code, "give the log's public key" in said) == (2, True)
    code, said = run("-m", "audit.offline", str(tmp_path / "none.zip"), "--key", key)
    assert (code, "there is no such file" in said) == (2, True)
    code, said = run("-m", "audit.offline", str(bundle), "--key", "nonsense")
    assert (code, "a verifier key is written" in said) == (2, True)
    changed = rewrite(bundle, "entries.jsonl", lambda was: was.replace(b"thing:7", b"thing:8"))
    code, said = run("-m", "audit.offline", str(changed), "--key", key)
    assert (code, "entry 7" in said) == (1, True)
    code, said = run("-m", "audit.offline", str(changed), "--key", key, "--json")
    assert (code, '"outcome": "tampered"' in said) == (1, True)


@pytest.mark.slow
def test_the_offline_verifier_imports_no_django():
    code, said = run(
        "-c", "import audit.offline, sys; print([name for name in sys.modules if name.startswith('django')])"
    )
    assert (code, said.strip()) == (0, "[]")
