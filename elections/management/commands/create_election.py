"""`manage.py create_election`: ask the chain for a new election."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from django.core.management.base import CommandError
from django_typer.management import TyperCommand
from rest_framework.exceptions import APIException, ValidationError

from audit.context import auditing
from elections.selectors import get_latest_head
from elections.serializers import NewElectionSerializer
from elections.services import request_election


class Command(TyperCommand):
    help = "Ask the chain for a new election; prints the job that sends the transaction."

    def handle(
        self,
        title: Annotated[str, typer.Argument(help="Title of the election")],
        option: Annotated[list[str], typer.Option(help="An option to vote for; give it twice or more")],
        description: Annotated[str, typer.Option(help="Description")] = "",
        start_in: Annotated[int, typer.Option(min=1, help="Blocks from now to the start")] = 10,
        blocks: Annotated[int, typer.Option(min=1, help="Blocks from the start to the end")] = 1000,
        verifier: Annotated[str | None, typer.Option(help="Address of the eligibility verifier; none: open")] = None,
        census_root: Annotated[str | None, typer.Option(help="Root of the census, 0x and 64 digits")] = None,
        metadata: Annotated[Path | None, typer.Option(help="JSON file; replaces title, description, options")] = None,
    ) -> None:
        head = get_latest_head()
        if head is None:
            raise CommandError("No block of the chain has been indexed yet: run `manage.py index_chain` first.")
        document: dict[str, Any] = {"title": title, "description": description, "options": option}
        if metadata is not None:
            try:
                document = json.loads(metadata.read_text())
            except (OSError, ValueError) as error:
                raise CommandError(f"{metadata} cannot be read as JSON: {error}") from None
        start = head.number + start_in
        new = NewElectionSerializer(
            data={
                "metadata": document,
                "start_block": start,
                "end_block": start + blocks,
                "verifier": verifier,
                "census_root": census_root,
            }
        )
        try:
            new.is_valid(raise_exception=True)
            with auditing(actor="command:create_election"):
                job, metadata_hash = request_election(owner=None, **new.validated_data)
        except ValidationError as error:
            raise CommandError(f"Not valid: {json.dumps(error.detail)}") from None
        except APIException as error:
            raise CommandError(str(error.detail)) from None
        self.stdout.write(f"job {job.pk}\nmetadata {metadata_hash}\nblocks {start} to {start + blocks}")
