"""Recounts the elections over a second endpoint and compares them with the rows."""

import json
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import auditing
from chain.exceptions import OtherChainFound
from chain.models import Checkpoint
from chain.services import reconcile
from chain.services.reconciling import Reconciliation


class Command(BaseCommand):
    help = "Recount every election from raw logs and compare with the rows; exits with 1 when some differ."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--rpc", default=settings.CHAIN_RECONCILE_RPC_URL, help="endpoint to ask; default: the last configured"
        )
        parser.add_argument("--json", action="store_true", help="print the outcome as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with auditing(actor="command:reconcile"):
                result = reconcile(rpc_url=options["rpc"])
        except Checkpoint.DoesNotExist as error:
            raise CommandError("nothing was indexed yet: run `manage.py index_chain`") from error
        except OtherChainFound as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps(asdict(result), default=str))
        else:
            self.print_differences(result)
        if result.differences:
            raise CommandError("the rows differ from the chain: see `manage.py reindex`")

    def print_differences(self, result: Reconciliation) -> None:
        for difference in result.differences:
            self.stdout.write(
                f"{difference.election}: {difference.what} is {difference.row}, recounted {difference.recount}"
            )
        self.stdout.write(
            f"{result.elections} elections from {result.events} events up to block {result.up_to}: "
            f"{len(result.differences)} differences"
        )
