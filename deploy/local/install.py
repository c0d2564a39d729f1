"""Makes `.venv` and `node_modules`, or brings them up to date; standard library only, for it runs before all else."""

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
NODE_MODULES = ROOT / "node_modules"
ANVIL_VERSION = "1.7.1"
NODE_MINIMUM = 20
is_terminal = sys.stdout.isatty()


def digest(*files: Path) -> str:
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def say(text: str, *, is_progress: bool = False) -> None:
    """Print a line; progress overwrites itself on a terminal and is left out elsewhere."""
    if is_terminal:
        width = shutil.get_terminal_size().columns - 1
        print(f"\r{text[:width]:<{width}}", end="" if is_progress else "\n", flush=True)
    elif not is_progress:
        print(text, flush=True)


def stop(text: str) -> None:
    sys.exit(f"\ninstall: {text}")


def follow(command: list[str], *, title: str, total: int, counts: tuple[str, ...]) -> None:
    """Run a command and show how many of its `total` steps are done; on failure show what it said."""
    started, done, shown, output = time.monotonic(), 0, 0, []
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    for line in process.stdout:
        output.append(line)
        if line.lstrip().startswith(counts):
            done = min(done + 1, total)
        if is_terminal:
            bar = "█" * round(24 * done / total)
            say(f"  {title}  {bar:░<24} {done}/{total}  {time.monotonic() - started:.0f} s", is_progress=True)
        elif done >= shown + 40:
            shown = done
            say(f"  {title}: {done} of {total}")
    if process.wait() != 0:
        say("".join(output[-25:]).rstrip())
        stop(f"`{' '.join(command[:4])} …` failed; what it said last stands above.")
    say(f"  {title}: done in {time.monotonic() - started:.0f} s")


def install_python() -> None:
    if VENV.is_symlink():
        return  # another checkout's; it looks after it
    wanted = digest(ROOT / "requirements" / "dev.txt", ROOT / "requirements" / "base.txt", ROOT / "pyproject.toml")
    stamp = VENV / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    python = VENV / "bin" / "python"
    if not python.exists() or subprocess.run([python, "-m", "pip", "--version"], capture_output=True).returncode:
        say(f"Making .venv with Python {platform.python_version()}")
        made = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], capture_output=True, text=True)
        if made.returncode:
            stop(
                "this Python cannot make a virtual environment "
                f"(on Debian and Ubuntu: apt install python3-venv).\n{(made.stdout + made.stderr).strip()}"
            )
    pins = (ROOT / "requirements" / "dev.txt").read_text().splitlines()
    pins += (ROOT / "requirements" / "base.txt").read_text().splitlines()
    total = sum("==" in line and not line.startswith((" ", "#")) for line in pins)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off", "--no-input"]
    say("Installing Python packages (pinned and hashed; the first time takes a minute or two)")
    files = ["-r", "requirements/base.txt", "-r", "requirements/dev.txt"]
    follow([*pip, "--require-hashes", *files], title="Python packages", total=total, counts=("Collecting ",))
    follow([*pip, "--no-deps", "--no-build-isolation", "-e", "."], title="backend-admin", total=1, counts=("Success",))
    stamp.write_text(wanted)


def install_node() -> None:
    if NODE_MODULES.is_symlink():
        return
    wanted = digest(ROOT / "package-lock.json")
    stamp = NODE_MODULES / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    npm, node = shutil.which("npm"), shutil.which("node")
    if not npm or not node:
        stop(f"Psephos needs Node.js {NODE_MINIMUM} or newer with npm; none was found on PATH.")
    version = subprocess.run([str(node), "--version"], capture_output=True, text=True).stdout.strip()
    if int(version.lstrip("v").partition(".")[0] or 0) < NODE_MINIMUM:
        stop(f"Psephos needs Node.js {NODE_MINIMUM} or newer; `node` on PATH is {version}.")
    say("Installing Node packages (EVM node, contract compiler, circuits, browser; about 250 MB)")
    total = (ROOT / "package-lock.json").read_text().count('"node_modules/')
    command = [str(npm), "ci", "--no-audit", "--no-fund", "--loglevel=http"]
    follow(command, title="Node packages", total=total, counts=("npm http fetch", "npm http cache"))
    system = {"Linux": "linux", "Darwin": "darwin"}.get(platform.system(), "")
    machine = {"x86_64": "amd64", "amd64": "amd64", "arm64": "arm64", "aarch64": "arm64"}.get(platform.machine(), "")
    package = f"@foundry-rs/anvil-{system}-{machine}"
    if not (NODE_MODULES / package).exists() and not shutil.which("anvil"):
        # The lock file holds the binary of Linux on x86-64 alone; other machines fetch theirs by its version.
        add = [str(npm), "install", "--no-save", "--no-audit", "--no-fund", f"{package}@{ANVIL_VERSION}"]
        follow(add, title=package, total=1, counts=("added",))
    stamp.write_text(wanted)


def main() -> None:
    os.environ["PIP_NO_COLOR"] = "1"
    try:
        install_python()
        install_node()
    except KeyboardInterrupt:
        stop("interrupted; the next start goes on from here.")


if __name__ == "__main__":
    main()
