"""Exports the audit log."""

from pathlib import Path
from typing import Annotated

import typer
from django.core.management.base import CommandError
from django_typer.management import TyperCommand

from audit.context import auditing
from audit.exceptions import NoCheckpoint, NothingToExport
from audit.services import export_log, write_bundle


class Command(TyperCommand):
    help = "Write the entries since the last export into the write-once store, or the whole log into one zip file."

    def handle(
        self,
        bundle: Annotated[Path | None, typer.Option(help="Write one zip file here, not into the store.")] = None,
        first: Annotated[int, typer.Option(help="Begin the zip file at this size of a checkpoint.", min=0)] = 0,
    ) -> None:
        with auditing(actor="command:export_audit"):
            try:
                if bundle:
                    manifest = write_bundle(path=bundle, first_seq=first)
                    self.stdout.write(f"{bundle}: entries {manifest.first_seq} to {manifest.tree_size - 1}")
                else:
                    export = export_log()
                    self.stdout.write(f"{export.name}: entries {export.first_seq} to {export.tree_size - 1}")
            except NothingToExport as error:
                raise CommandError("no signed checkpoint covers anything new") from error
            except NoCheckpoint as error:
                raise CommandError("the log has no signed checkpoint of this size; does the sequencer run?") from error
