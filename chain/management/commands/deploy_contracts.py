"""Deploys the contracts on a development chain and writes their addresses."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.services import record
from chain.exceptions import ConfigurationRefused, NodeError, TransactionFailed
from chain.nodes import Node
from chain.services import deploy_contracts, is_deployed, read_deployment


class Command(BaseCommand):
    help = "Deploy the contracts with CHAIN_SENDER_KEY and write their addresses to CHAIN_DEPLOYMENT_FILE."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--output", default=settings.CHAIN_DEPLOYMENT_FILE, help="address book to write")
        parser.add_argument("--force", action="store_true", help="deploy again although the addresses have code")

    def handle(self, *args: Any, **options: Any) -> None:
        node = Node(settings.CHAIN_RPC_URLS[0])
        book = read_deployment(options["output"])
        try:
            if book and not options["force"] and is_deployed(node, book):
                self.stdout.write("already deployed:")
            else:
                book = deploy_contracts(node=node, sender_key=settings.CHAIN_SENDER_KEY, path=options["output"])
                record(
                    action="chain.contracts.deployed",
                    actor="command:deploy_contracts",
                    target=f"chain:{book['chain_id']}",
                    data={"addresses": book},
                )
        except (NodeError, ConfigurationRefused, TransactionFailed) as error:
            raise CommandError(f"{error} ({settings.CHAIN_RPC_URLS[0]})") from error
        self.stdout.write(json.dumps(book, indent=2))
