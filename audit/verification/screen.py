"""Shows a verification's progress and outcome on a terminal, or prints the outcome as JSON."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audit.verification.report import TAMPERED, WHOLE, Report
from audit.verification.report import Progress as Show


@contextmanager
def progress_bar() -> Iterator[Show]:
    """Show a bar for each stage on standard error."""
    columns = (TextColumn("{task.description:<12}"), BarColumn(40), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        tasks: dict[str, int] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)  # type: ignore[arg-type]

        yield show


def print_report(report: Report, *, started: float, as_json: bool = False) -> None:
    """Print each finding on a line of its own, and the outcome on the last; as JSON, all on one line."""
    if as_json:
        print_json(report, seconds=time.monotonic() - started)
        return
    console = Console(file=sys.stdout, soft_wrap=True, highlight=False, emoji=False)
    for finding in report.findings:
        mark = "[red]wrong     [/]" if finding.is_tampering else "[yellow]unchecked [/]"
        console.print(f"{mark}{escape(str(finding))}")
    if report.left_out:
        console.print(f"… and {report.left_out} more")
    seconds = time.monotonic() - started
    counts = ", ".join(counted(count, noun) for noun, count in report.counts.items())
    entries = report.counts.get("entries", 0)
    rate = f", {entries / seconds:,.0f} entries/s" if entries and seconds else ""
    checked = f"checked {counts or 'nothing'} in {seconds:.1f} s{rate}"
    if report.outcome == WHOLE:
        console.print(f"[green]The log is whole[/]: {checked}.")
    elif report.outcome == TAMPERED:
        console.print(f"[red]The log was tampered with[/]: {counted(len(report.findings), 'findings')}; {checked}.")
    else:
        console.print(
            f"[yellow]The log could not be checked[/]: {counted(len(report.findings), 'reasons')}; {checked}."
        )


def print_json(report: Report, *, seconds: float) -> None:
    said = {"outcome": report.outcome, **asdict(report), "seconds": round(seconds, 3)}
    sys.stdout.write(json.dumps(said, ensure_ascii=False) + "\n")


def counted(number: int, plural: str) -> str:
    """Say how many there are: `1 entry`, `2,000 entries`."""
    singular = "entry" if plural == "entries" else plural.removesuffix("s")
    return f"{number:,} {singular if number == 1 else plural}"
