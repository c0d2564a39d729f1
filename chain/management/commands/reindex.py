"""Reads a range of blocks again and mends what differs."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from audit.context import auditing
from chain.exceptions import RangeNeverCovered, ReorgPending
from chain.services import build_reader, reindex

SHOWN = 20


class Command(BaseCommand):
    help = "Read blocks again and mend the rows that differ from the chain."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="low", type=int, required=True, help="first block")
        parser.add_argument("--to", dest="high", type=int, required=True, help="last block")
        parser.add_argument("--dry-run", action="store_true", help="print what would change, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with auditing(actor="command:reindex"):
                reports = reindex(
                    reader=build_reader(),
                    chain_id=settings.CHAIN_ID,
                    low=options["low"],
                    high=options["high"],
                    is_dry_run=options["dry_run"],
                )
        except (RangeNeverCovered, ReorgPending) as error:
            raise CommandError(str(error)) from error
        would = "would be " if options["dry_run"] else ""
        for contract, report in reports.items():
            self.stdout.write(f"{contract}: {report.read} logs read, {report.count} {would}mended")
            for name, verb in (("missing", "added"), ("surplus", "retracted"), ("differing", "replaced")):
                places = getattr(report, name)
                for number, block_hash, index in places[:SHOWN]:
                    self.stdout.write(f"  {would}{verb}: block {number} {block_hash[:12]}… log {index}")
                if len(places) > SHOWN:
                    self.stdout.write(f"  … and {len(places) - SHOWN} more {would}{verb}")
            if report.count:
                self.stdout.write(f"  elections {would}folded again: {', '.join(map(str, sorted(report.elections)))}")
