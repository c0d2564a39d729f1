"""`manage.py rotate_keys`: what was sealed by former keys is sealed by the newest, so that the former can go."""

import json
from typing import Annotated

import typer
from django.conf import settings
from django_typer.management import TyperCommand

from accounts.services import reseal_provider_tokens
from audit.context import auditing


class Command(TyperCommand):
    help = "Seal stored tokens by the first of TOKEN_ENCRYPTION_KEYS; after that the older keys may be removed."

    def handle(self, as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON")] = False) -> None:
        with auditing(actor="command:rotate_keys"):
            count = reseal_provider_tokens()
        if as_json:
            self.echo(json.dumps({"resealed": count, "signing_keys": len(settings.AUTH_SIGNING_KEYS)}))
            return
        self.secho(f"{count} sign-ins' tokens are sealed by the newest key", fg="green")
        self.echo("Older entries of TOKEN_ENCRYPTION_KEYS may go now; those of AUTH_SIGNING_KEYS after 30 minutes.")
