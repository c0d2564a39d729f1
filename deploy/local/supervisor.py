"""Starts processes, watches them, starts again what ends, and stops them all within a deadline.

Every process inherits the variable `PSEPHOS_RUN`, which names the state folder and the process's kind. By it, and
never by a bare process id, the processes of a run are found again: a number may have gone to a stranger, the mark
cannot.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.local.services import launch

MARK = "PSEPHOS_RUN"
PART, SERVICE = "part", "service"
# A process that ends is started again after so long, doubled each time, at the most a minute.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 60.0


def is_marked(process: psutil.Process, state: Path, kinds: Iterable[str]) -> bool:
    try:
        return process.environ().get(MARK, "") in {f"{state}:{kind}" for kind in kinds}
    except (psutil.Error, OSError):
        return False


def marked_processes(state: Path, *kinds: str) -> list[psutil.Process]:
    """Find the living processes of this folder's run, but for PostgreSQL, which its own tool ends."""
    others = (process for process in psutil.process_iter(["name"]) if process.pid != os.getpid())
    found = [process for process in others if is_marked(process, state, kinds) and process.info["name"] != "postgres"]
    return [process for process in found if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def send(processes: Iterable[psutil.Process], number: signal.Signals) -> None:
    """Send a signal; psutil compares each process's start time first, so a reused id gets none."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(number)


def wait_gone(processes: Sequence[psutil.Process], timeout_seconds: float) -> list[psutil.Process]:
    """Wait until the processes ended; return those that live on."""
    deadline = time.monotonic() + timeout_seconds
    living = [process for process in processes if is_alive(process)]
    while living and time.monotonic() < deadline:
        time.sleep(0.05)
        living = [process for process in living if is_alive(process)]
    return living


def end_leftovers(state: Path, timeout_seconds: float = 4) -> int:
    """End what a killed run left behind; return how many processes that were."""
    found = marked_processes(state, PART, SERVICE)
    send(found, signal.SIGTERM)
    send(wait_gone(found, timeout_seconds), signal.SIGKILL)
    wait_gone(found, 2)
    return len(found)


@dataclass
class Part:
    """One process of the stack."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    is_restarted: bool = True
    process: subprocess.Popen[bytes] | None = None
    pause_seconds: float = FIRST_PAUSE_SECONDS
    started_at: float = 0.0
    retry_at: float = 0.0


class Supervisor:
    """Keeps the parts of one run alive."""

    def __init__(self, *, state: Path, root: Path, say: Callable[[str], None]) -> None:
        self.state = state
        self.root = root
        self.say = say
        self.parts: list[Part] = []

    def log(self, name: str) -> Path:
        return self.state / "logs" / f"{name}.log"

    def start(self, part: Part) -> None:
        """Start a part, and keep it from now on."""
        part.started_at = time.monotonic()
        environment = {**os.environ, **part.environment, MARK: f"{self.state}:{PART}"}
        part.process = launch(part.name, part.command, log=self.log(part.name), cwd=self.root, environment=environment)
        if part not in self.parts:
            self.parts.append(part)

    def watch(self) -> None:
        """Start again each part that ended, later each time it ends soon."""
        now = time.monotonic()
        for part in self.parts:
            if part.process is not None and part.process.poll() is not None:
                code = part.process.returncode
                part.process = None
                if not part.is_restarted:
                    continue
                if now - part.started_at > LONGEST_PAUSE_SECONDS:
                    part.pause_seconds = FIRST_PAUSE_SECONDS
                part.retry_at = now + part.pause_seconds
                self.say(
                    f"{part.name} ended with status {code}; it starts again in {part.pause_seconds:.0f} s. "
                    f"Its log: {self.log(part.name)}"
                )
                part.pause_seconds = min(part.pause_seconds * 2, LONGEST_PAUSE_SECONDS)
            elif part.process is None and part.is_restarted and now >= part.retry_at:
                self.start(part)

    def stop(self, timeout_seconds: float) -> None:
        """Ask every part to end, and kill after the deadline what does not, with all that they started."""
        deadline = time.monotonic() + timeout_seconds
        running = [part.process for part in self.parts if part.process is not None]
        for process in running:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        while time.monotonic() < deadline and any(process.poll() is None for process in running):
            time.sleep(0.03)
        if late := [part.name for part in self.parts if part.process is not None and part.process.poll() is None]:
            self.say(f"  · killed after {timeout_seconds:.0f} s: {', '.join(late)}")
        rest = marked_processes(self.state, PART)
        send(rest, signal.SIGKILL)
        wait_gone(rest, 1)
        for process in running:
            process.poll()
        self.parts.clear()
