"""Decodes again the logs that did not decode."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from audit.context import auditing
from chain.services import build_reader, replay_dead_letters


class Command(BaseCommand):
    help = "Decode dead letters again, after an ABI or a profile has changed."

    def handle(self, *args: Any, **options: Any) -> None:
        with auditing(actor="command:replay_dead_letters"):
            replayed, failed = replay_dead_letters(chain_id=settings.CHAIN_ID, reader=build_reader())
        self.stdout.write(f"{replayed} replayed, {failed} still do not decode")
