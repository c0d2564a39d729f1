"""`manage.py seed_demo`: elections at every stage on a development chain, voted on by real transactions."""

import json
import signal
import sys
from typing import Annotated

import typer
from django.core.management.base import CommandError
from django_typer.management import TyperCommand

from audit.context import auditing
from chain.exceptions import ConfigurationRefused
from chain.services.demo import open_demo, run_demo


class Command(TyperCommand):
    help = "Put elections at every stage on a development chain, with votes; refuses any other chain."

    def handle(
        self,
        follow: Annotated[bool, typer.Option(help="Go on voting, and renew what ends, until stopped")] = False,
        timeout_seconds: Annotated[float, typer.Option(help="Without --follow: how long all may take")] = 180,
        as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON")] = False,
    ) -> None:
        stopped = []
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.append(True))
        say = (lambda text: None) if as_json else self.secho
        try:
            demo = open_demo(say=say)
            with auditing(actor="command:seed_demo"):
                is_whole = run_demo(
                    demo=demo,
                    is_followed=follow,
                    timeout_seconds=timeout_seconds,
                    is_stopped=lambda: bool(stopped),
                )
        except ConfigurationRefused as error:
            raise CommandError(str(error)) from error
        statuses: dict[str, int] = {}
        for election in demo.elections():
            statuses[election.status] = statuses.get(election.status, 0) + 1
        if as_json:
            self.echo(json.dumps({"is_whole": is_whole, "votes": demo.votes, "elections": statuses}))
        else:
            counts = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()))
            self.secho(f"{sum(statuses.values())} elections ({counts}), {demo.votes} votes sent", fg="green")
        if not is_whole:
            self.secho("Not every stage is there yet: do a worker and the indexer run?", fg="red", err=True)
            sys.exit(1)
