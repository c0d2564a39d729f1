"""Shows how far the index is, its gaps, lag, rate and ETA."""

import json
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.services import build_reader, index_status


class Command(BaseCommand):
    help = "Show coverage, gaps, lag, rate and ETA of the index; exits with 1 when it is halted or has never run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="as JSON")
        parser.add_argument("--sample-seconds", type=float, default=2.0, help="measure the rate over so long")
        parser.add_argument("--offline", action="store_true", help="do not ask the node")

    def handle(self, *args: Any, **options: Any) -> None:
        status = index_status(
            chain_id=settings.CHAIN_ID,
            reader=None if options["offline"] else build_reader(),
            sample_seconds=options["sample_seconds"],
        )
        if status is None:
            raise CommandError(f"chain {settings.CHAIN_ID} was never indexed: run `manage.py index_chain`")
        if options["json"]:
            self.stdout.write(json.dumps(status))
        else:
            self.show(status)
        if status["halted"]:
            raise CommandError(f"halted since {status['halted']['since']}: {status['halted']['reason']}")

    def show(self, status: dict[str, Any]) -> None:
        rate = status["blocks_per_second"]
        lines = [
            f"chain      {status['chain_id']}",
            f"block      {status['block']:,} {status['block_hash'][:12]}…  (finalized {status['finalized_block']:,}, "
            f"safe {status['safe_block']:,})",
            f"head       {status['node_head']:,} ({status['node_head_is']})",
            f"lag        {status['lag_blocks']:,} blocks",
            f"rate       {'not measured' if rate is None else f'{rate:.1f} blocks/s'}",
            f"ETA        {'—' if status['eta_seconds'] is None else str(status['eta_seconds']) + ' s'}",
            f"writer     {status['writer'] or 'nobody'}",
        ]
        for contract in status["contracts"]:
            gaps = ", ".join(f"{low:,}–{high:,}" for low, high in contract["missing"]) or "none"
            ranges = ", ".join(f"{low:,}–{high:,}" for low, high in contract["covered"]) or "none"
            events = ", ".join(f"{name} {count:,}" for name, count in contract["events"].items()) or "none"
            lines += [
                f"contract   {contract['contract']}",
                f"  covered  {ranges}",
                f"  gaps     {gaps}",
                f"  events   {events}",
                f"  dead     {contract['dead_letters']:,}",
            ]
        if status["reconciled_at"]:
            lines.append(f"reconciled {status['reconciled_at']}: {status['reconcile_differences']} elections differ")
        self.stdout.write("\n".join(lines))
