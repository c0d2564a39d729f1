"""`manage.py healthcheck`: every part of the stack, with its latency; exit 1 when one fails."""

import json
import sys
import time
from typing import Annotated

import typer
from django_typer.management import TyperCommand

from config.health import CHECKS, Part, run_checks


def names_of(value: list[str] | None) -> list[str]:
    if unknown := sorted(set(value or []) - set(CHECKS)):
        raise typer.BadParameter(f"{unknown[0]} is none of {', '.join(CHECKS)}")
    return value or []


class Command(TyperCommand):
    help = "Check PostgreSQL, Redis, the broker, the node, migrations, workers and the index; exit 1 when one fails."

    def handle(
        self,
        only: Annotated[
            list[str] | None, typer.Option(help="Check this part alone; may be repeated", callback=names_of)
        ] = None,
        wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until all is well")] = 0,
        as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON")] = False,
    ) -> None:
        deadline = time.monotonic() + wait
        while True:
            parts = run_checks(only or CHECKS)
            is_well = all(part.is_up for part in parts)
            if is_well or time.monotonic() >= deadline:
                break
            time.sleep(1)
        if as_json:
            self.echo(
                json.dumps({"status": "ok" if is_well else "failed", "parts": [part.as_json() for part in parts]})
            )
        else:
            for part in parts:
                self.show(part)
        if not is_well:
            sys.exit(1)

    def show(self, part: Part) -> None:
        mark, colour = ("✓", "green") if part.is_up else ("✗", "red")
        details = part.error or ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in part.details.items())
        self.secho(f"{mark} {part.name:<11} {part.milliseconds:>8.1f} ms  {details}".rstrip(), fg=colour)
