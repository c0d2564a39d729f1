"""Makes a signing key for the audit log."""

from typing import Annotated

import typer
from django.core.management.base import CommandError
from django_typer.management import TyperCommand

from audit.note import NoteError, SigningKey


class Command(TyperCommand):
    help = "Make an Ed25519 key for the audit log; print the private and the public half."

    def handle(
        self,
        origin: Annotated[str, typer.Argument(help="The log's name for ever: an address without scheme, host/audit.")],
    ) -> None:
        try:
            key = SigningKey.generate(origin)
        except NoteError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"AUDIT_SIGNING_KEY={key.encode()}")
        self.stdout.write(f"AUDIT_VERIFIER_KEYS={key.verifier()}")
