"""A whole stack as `make run` starts it, in a folder and on ports of its own."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest
import requests

from deploy.local.lint import plain_environment
from deploy.local.services import ROOT

# `make run` derives its other ports from PORT.
OFFSETS = (0, 90, 545)


def free_base() -> int:
    """Find a PORT of which all derived ports are free."""
    for base in range(20000 + os.getpid() % 500 * 60, 60000, 7):
        try:
            for offset in OFFSETS:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + offset))
        except OSError:
            continue
        return base
    raise AssertionError("no free ports")


def wait_for(question, *, seconds: float = 120, what: str = ""):
    """Ask until the answer is true; generous, for a loaded machine."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if answer := question():
                return answer
        except (requests.RequestException, KeyError, ValueError):
            pass
        time.sleep(0.3)
    raise AssertionError(f"waited {seconds} s for {what or question}")


class LocalRun:
    """`make run` in a folder and on ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_base()
        self.output = folder.parent / "output.txt"
        self.process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        own = {"LOCAL_FOLDER": str(self.folder), "PORT": str(self.port), "PYTHONUNBUFFERED": "1"}
        own["RATE_LIMIT"] = "100000/60"  # the tests ask often
        return plain_environment() | own

    def start(self, **more: str) -> None:
        self.output.write_text("")
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "deploy.local.run"],
                cwd=ROOT,
                env=self.environment | more,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_ready(self) -> None:
        def is_ready() -> bool:
            assert self.process.poll() is None, self.said()
            return "Ready in" in self.said()

        wait_for(is_ready, seconds=150, what=f"make run to be ready: {self.said()}")

    def interrupt(self) -> float:
        """Press Ctrl-C; return how long the end took by the stack's own account."""
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, self.said()
        return float(re.search(r"Stopped in ([\d.]+) s", self.said())[1])

    def processes(self) -> list[psutil.Process]:
        """Return every process that still carries this run's mark."""
        marks = {f"{self.folder}/run:{kind}" for kind in ("part", "service")}
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("PSEPHOS_RUN") in marks and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def running(self, *words: str) -> list[psutil.Process]:
        """Return those of this run's processes whose command holds all words; any may end while we look."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                if all(word in " ".join(process.cmdline()) for word in words):
                    found.append(process)
        return found

    def elections(self) -> list[dict]:
        return requests.get(f"{self.url}/elections", timeout=20).json()["results"]


@pytest.fixture(scope="module")
def stack():
    """A running stack with its demo; whatever a test leaves of it is ended."""
    # Not pytest's own folder: nobody but its user may enter that, and PostgreSQL is another when the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="stack-", dir=os.environ["PSEPHOS_TEST_FOLDER"])) / "local"
    folder.parent.chmod(0o755)
    run = LocalRun(folder)
    run.start()
    try:
        run.wait_ready()
        yield run
    finally:
        if run.process.poll() is None:
            run.process.send_signal(signal.SIGINT)
            run.process.wait(60)
        subprocess.run([sys.executable, "-m", "deploy.local.reset"], cwd=ROOT, env=run.environment, check=False)
