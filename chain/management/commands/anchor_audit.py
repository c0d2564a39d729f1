"""Writes the audit log's last signed root on chain."""

from django.conf import settings
from django.core.management.base import CommandError
from django_typer.management import TyperCommand
from rest_framework.exceptions import APIException

from audit.context import auditing
from audit.exceptions import NothingToAnchor
from audit.services import get_root_to_anchor
from chain.services import anchor_audit_root, anchor_contract, build_nodes


class Command(TyperCommand):
    help = "Write the audit log's last signed root into the AuditAnchor contract now; a job does so daily."

    def handle(self) -> None:
        with auditing(actor="command:anchor_audit"):
            try:
                checkpoint = get_root_to_anchor(chain_id=settings.CHAIN_ID, contract=anchor_contract())
                done = anchor_audit_root(nodes=build_nodes(), tree_size=checkpoint.tree_size)
            except NothingToAnchor:
                self.stdout.write("The last checkpoint is anchored already.")
                return
            except APIException as error:
                raise CommandError(str(error.detail)) from error
        self.stdout.write(f"anchored size {done['tree_size']} in block {done['block_number']}: {done['tx_hash']}")
