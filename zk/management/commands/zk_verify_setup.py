"""Checks the circuits' files and keys."""

from pathlib import Path
from typing import Annotated

import typer
from django.core.management.base import CommandError
from django_typer.management import TyperCommand

from zk.registry import all_circuits
from zk.services.setup import verify_setup


class Command(TyperCommand):
    help = "Check hashes and the chain of contributions of every circuit's key; exit 1 on a fault."

    def handle(
        self,
        ptau: Annotated[
            Path | None, typer.Option(help="Check the keys against this powers-of-tau file too.", exists=True)
        ] = None,
        rebuild: Annotated[bool, typer.Option("--rebuild", help="Compile our circuits again and compare.")] = False,
        circuit: Annotated[list[str] | None, typer.Option(help="Only this circuit; may be repeated.")] = None,
    ) -> None:
        if unknown := sorted(set(circuit or []) - set(all_circuits())):
            raise CommandError(f"unknown circuit: {', '.join(unknown)}; there are {', '.join(all_circuits())}")
        has_fault = False
        for finding in verify_setup(ptau=ptau, is_rebuilding=rebuild, names=circuit):
            mark = "development keys" if finding.circuit.is_development else "ceremony keys"
            self.stdout.write(f"{finding.circuit.label}: {mark}; {'; '.join(finding.notes)}")
            for fault in finding.faults:
                has_fault = True
                self.stdout.write(f"  FAULT {fault}")
        if has_fault:
            raise typer.Exit(1)
