"""Runs the audit log's sequencer; start a second one as its standby."""

import gc
import signal
import threading
from typing import Any

from django.core.management.base import CommandError
from django_typer.management import TyperCommand

from audit.exceptions import MayNotSequence, NoSigningKey, SequencerHalted
from audit.services import make_sequencer


class Command(TyperCommand):
    help = "Number committed audit entries, grow the tree and sign checkpoints, until SIGTERM."

    def handle(self) -> None:
        stop = threading.Event()

        def end(signum: int, frame: Any) -> None:
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        # As in config.wsgi: what is loaded need not be walked over again.
        gc.collect()
        gc.freeze()
        try:
            make_sequencer().run(stop)
        except (SequencerHalted, MayNotSequence, NoSigningKey) as error:
            raise CommandError(str(error) or NoSigningKey.__doc__) from error
