"""What a verification found."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

WHOLE, TAMPERED, UNCHECKED = "whole", "tampered", "unchecked"
EXIT_CODES = {WHOLE: 0, TAMPERED: 1, UNCHECKED: 2}
MAX_FINDINGS = 1000
MAX_TEXT = 1000  # characters

Progress = Callable[[str, int, int], None]  # the stage's name, what is done of it, its total


def no_progress(stage: str, done: int, total: int) -> None:
    """Show nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong (or that could not be checked), and where."""

    part: str
    place: str
    message: str
    is_tampering: bool = True

    def __str__(self) -> str:
        return f"{self.place}: {self.message}"


@dataclass
class Report:
    """All findings of a run and what was checked."""

    tree_size: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    left_out: int = 0

    def add(self, part: str, place: str, message: str) -> None:
        self._append(Finding(part, place, message))

    def add_unchecked(self, part: str, place: str, message: str) -> None:
        self._append(Finding(part, place, message, is_tampering=False))

    def extend(self, findings: Iterable[Finding]) -> None:
        for finding in findings:
            self._append(finding)

    def _append(self, finding: Finding) -> None:
        finding = replace(finding, place=printable(finding.place), message=printable(finding.message))
        # Tampering is never crowded out by what merely could not be checked.
        if len(self.findings) < MAX_FINDINGS or (finding.is_tampering and self.outcome != TAMPERED):
            self.findings.append(finding)
        else:
            self.left_out += 1

    @property
    def outcome(self) -> str:
        if any(finding.is_tampering for finding in self.findings):
            return TAMPERED
        return UNCHECKED if self.findings else WHOLE

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.outcome]


def reason_of(error: Exception) -> str:
    """Say what broke, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())


def printable(text: str) -> str:
    """Spell out characters that move a terminal's cursor, end the line or cannot be stored; cut what is too long.

    A bundle can hold any, and they come into messages.
    """
    if len(text) > MAX_TEXT:
        text = f"{text[:MAX_TEXT]}…"
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def in_ranges(part: str, noun: str, found: list[tuple[int, str]]) -> list[Finding]:
    """Join findings of neighbours that say the same: entries 5, 6, 7 → `entries 5 to 7`."""
    runs: list[list] = []  # [first, last, message], latest run of each message
    open_runs: dict[str, list] = {}
    for number, message in found:
        run = open_runs.get(message)
        if run and number in (run[1], run[1] + 1):
            run[1] = number
        else:
            open_runs[message] = run = [number, number, message]
            runs.append(run)
    singular = noun.removesuffix("s") if noun != "entries" else "entry"
    return [
        Finding(part, f"{singular} {first}" if first == last else f"{noun} {first} to {last}", message)
        for first, last, message in runs
    ]
