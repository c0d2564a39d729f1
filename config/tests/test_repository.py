import re
import shutil
import subprocess
import sys
import zipfile

import pytest

from config.tests.settings_reader import ROOT

# Where packages are downloaded from is each machine's own setting, never the repository's.
REGISTRY_HOSTS = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|registry\.yarnpkg|npmmirror|--(extra-)?index-url|--find-links|"
    r"^resolved[\": ]|\"resolved\":",
    re.MULTILINE,
)


def committed_files():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and name != "config/tests/test_repository.py"]


def test_nothing_committed_names_a_registry_host():
    found = []
    for file in committed_files():
        if file.is_file() and not file.is_symlink():
            text = file.read_bytes()
            if b"\0" not in text[:8000] and (hit := REGISTRY_HOSTS.search(text.decode(errors="replace"))):
                found.append(f"{file.relative_to(ROOT)}: {hit[0]}")
    assert found == []


def test_no_committed_file_is_bulk():
    large = {str(f.relative_to(ROOT)): f.stat().st_size for f in committed_files() if f.is_file()}
    # Proving keys are binary by nature and committed once.
    assert {
        n: s for n, s in large.items() if s > 1_000_000 and not n.endswith((".zkey", ".zkey.xz", ".wasm", ".r1cs"))
    } == {}


def test_every_dependency_has_its_reason():
    for name in ("base.in", "dev.in"):
        for line in (ROOT / "requirements" / name).read_text().splitlines():
            if re.match(r"[a-z0-9]", line):
                assert " # " in line, f"{name}: {line}"


def test_gpl_parts_are_named():
    text = (ROOT / "docs" / "licenses.md").read_text()
    for part in ("snarkjs", "circom2", "circomlib", "groth16py"):
        assert part in text
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


def test_the_readme_s_links_targets_and_commands_exist():
    readme = (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#:]+)\)", readme):
        assert (ROOT / link).exists(), link
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`?make ([a-z][a-z-]*)", readme):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for command in re.findall(r"^\$ backend-admin ([a-z-]+)", readme, re.MULTILINE):
        name = command.replace("-", "_")
        assert name in {"check"} or list(ROOT.glob(f"*/management/commands/{name}.py")), command


@pytest.mark.slow
def test_an_editable_install_finds_the_code_from_any_folder(tmp_path):
    """`backend-admin` is a script in `.venv/bin`: nothing but the install puts this folder on its path."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    program = "from setuptools import build_meta; build_meta.build_editable('.')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=tmp_path, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        [path] = [name for name in archive.namelist() if name.endswith(".pth")]
        assert archive.read(path).decode().strip() == str(tmp_path)


def test_documents_link_to_what_exists():
    for document in (ROOT / "docs").rglob("*.md"):
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
