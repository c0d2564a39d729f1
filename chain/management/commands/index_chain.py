"""Indexes the configured contracts: backfill, then the head of the chain."""

import logging
import signal
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chain.exceptions import CallRefused, ConfigurationRefused, IndexerHalted, NodeError
from chain.services import (
    HeadListener,
    IndexProgress,
    Listeners,
    Runner,
    build_indexer,
    build_reader,
    publish_retraction,
    resume_after_review,
    websocket_url,
)
from elections.services import publish_changes

logger = logging.getLogger(__name__)
REPORT_SECONDS = 5.0


class Command(BaseCommand):
    help = "Index the chain's elections: backfill by ranges, then follow the head until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="stop when the node's head is reached")
        parser.add_argument(
            "--resume-after-review",
            action="store_true",
            help="go on after a halt, taking the node's chain as the right one",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["resume_after_review"]:
            was_halted = resume_after_review(chain_id=settings.CHAIN_ID)
            self.stdout.write("the review is noted" if was_halted else "the indexer was not halted")
        progress = Progress(self.stderr)
        listeners = Listeners(changes=publish_changes, retraction=publish_retraction, progress=progress.show)
        try:
            runner = Runner(
                build_indexer(listeners=listeners), once=options["once"], poll_seconds=settings.CHAIN_POLL_SECONDS
            )
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: runner.stop())
            runner.on_state = progress.state
            if options["once"]:
                runner.run()
            else:
                self.follow(runner)
        except ConfigurationRefused as error:
            raise CommandError(str(error)) from error
        except IndexerHalted as error:
            raise CommandError(f"halted: {error.reason}") from error
        except (CallRefused, NodeError) as error:
            raise CommandError(f"the node refuses: {error}") from error
        progress.end()

    def follow(self, runner: Runner) -> None:
        """Run the indexer beside the listener that wakes it."""
        indexer = runner.indexer

        def finality() -> tuple[int, int]:
            known = getattr(indexer, "finality", None)
            return (known.safe, known.finalized) if known else (0, 0)

        listener = HeadListener(
            reader=build_reader(),
            chain_id=settings.CHAIN_ID,
            name=indexer.writer,
            ws_url=websocket_url(),
            poll_seconds=settings.CHAIN_POLL_SECONDS,
            on_head=runner.wake.set,
            finality=finality,
        )
        listener.start()
        try:
            runner.run()
        finally:
            listener.stop()


class Progress:
    """A bar on a terminal, JSON lines elsewhere."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.is_terminal = sys.stderr.isatty()
        self.started = self.last = time.monotonic()
        self.first_block: int | None = None
        self.is_caught_up = False

    def show(self, reached: IndexProgress) -> None:
        number, head = reached.block_number, reached.node_head
        if self.first_block is None:
            self.first_block = number
        now = time.monotonic()
        is_caught_up = number >= head
        if is_caught_up and self.is_caught_up:
            return
        if not is_caught_up and now - self.last < (0.1 if self.is_terminal else REPORT_SECONDS):
            return
        self.last, self.is_caught_up = now, is_caught_up
        rate = reached.events_written / max(now - self.started, 0.001)
        if self.is_terminal:
            share = 1.0 if head <= self.first_block else (number - self.first_block) / (head - self.first_block)
            bar = "█" * round(30 * share)
            self.stream.write(
                f"\r{bar:<30} {share:4.0%}  block {number:,} of {head:,}  {rate:,.0f} events/s ", ending=""
            )
            self.stream.flush()
        else:
            logger.info(
                "indexed", extra={"block": number, "head": head, "events": reached.events_written, "rate": round(rate)}
            )

    def state(self, state: str) -> None:
        if self.is_terminal:
            self.stream.write(f"\n{state}")
        else:
            logger.info("indexer state", extra={"state": state})

    def end(self) -> None:
        if self.is_terminal:
            self.stream.write("")
