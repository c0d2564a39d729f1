"""Makes development keys for our circuits."""

from pathlib import Path
from typing import Annotated

import typer
from django_typer.management import TyperCommand

from zk.services.setup import OWN_CIRCUITS, SetupFailed, make_development_keys


class Command(TyperCommand):
    help = "Compile our circuits and make their development keys, deterministically."

    def handle(
        self,
        ptau: Annotated[Path, typer.Option(help="A powers-of-tau file, 2^16 or more.", exists=True, dir_okay=False)],
        circuit: Annotated[list[str] | None, typer.Option(help="Only this circuit; may be repeated.")] = None,
    ) -> None:
        names = circuit or list(OWN_CIRCUITS)
        unknown = set(names) - set(OWN_CIRCUITS)
        if unknown:
            self.stderr.write(f"unknown circuit: {', '.join(sorted(unknown))}")
            raise typer.Exit(2)
        try:
            make_development_keys(ptau=ptau, names=names, say=self.stdout.write)
        except SetupFailed as error:
            self.stderr.write(str(error))
            raise typer.Exit(1) from error
        self.stdout.write("wrote zk/artifacts and the Solidity verifiers; these keys are for development only")
