"""What somebody may do to a bundle: it is named, or nothing is said, and never a traceback."""

import json
import os
import shutil
import zipfile

import pytest

from audit.note import SigningKey
from audit.offline import verify_bundle
from audit.selectors import get_verifier_keys
from audit.tests.factories import make_bundle
from audit.tests.test_bundles import check, rewrite

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path, 1)


@pytest.fixture
def folder(bundle, tmp_path):
    with zipfile.ZipFile(bundle) as opened:
        opened.extractall(tmp_path / "folder")
    assert check(tmp_path / "folder") == (0, [])
    return tmp_path / "folder"


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


def test_a_file_cut_anywhere_is_never_whole(folder):
    keys = get_verifier_keys()
    for name in ("manifest.json", "entries.jsonl", "checkpoint", "tile/0/000.p/1"):
        content = (folder / name).read_bytes()
        for length in range(0, len(content), 1 + len(content) // 100):
            (folder / name).write_bytes(content[:length])
            code, lines = check(folder, keys)
            assert code in (1, 2)
            assert name in lines[0]
        (folder / name).write_bytes(content)
    assert check(folder, keys) == (0, [])


def test_a_zip_cut_at_any_byte_or_changed_is_never_a_traceback(bundle):
    content, keys = bundle.read_bytes(), get_verifier_keys()
    with zipfile.ZipFile(bundle) as opened:
        wanted = {name: opened.read(name) for name in opened.namelist()}
    with bundle.open("r+b", buffering=0) as file:
        for at in range(0, len(content), 9):
            file.seek(at)
            file.write(bytes([content[at] ^ 0xFF]))
            code, _ = check(bundle, keys)
            if code == 0:
                with zipfile.ZipFile(bundle) as opened:
                    assert {name: opened.read(name) for name in opened.namelist()} == wanted
            file.seek(at)
            file.write(content[at : at + 1])
        assert check(bundle, keys) == (0, [])
        for length in reversed(range(len(content))):
            file.truncate(length)
            assert check(bundle, keys)[0] == 2
