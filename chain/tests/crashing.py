"""Runs the indexer once and kills itself at a named step; a program of its own, started by the crash tests.

python -m chain.tests.crashing STEP
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import django

STEPS = ("fetched", "moved", "written", "folded", "committed", "published")


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying_after(function: Callable[..., Any]) -> Callable[..., Any]:
    def wrapped(*arguments: Any, **options: Any) -> Any:
        function(*arguments, **options)
        die()

    return wrapped


def main(step: str) -> None:
    django.setup()
    from chain.reading import Reader
    from chain.services import Listeners, Runner, build_indexer, writing
    from elections.services import publish_changes

    listeners = Listeners(changes=publish_changes)
    if step == "fetched":
        Reader.range_logs = dying_after(Reader.range_logs)  # type: ignore[method-assign]
        Reader.block_logs = dying_after(Reader.block_logs)  # type: ignore[method-assign]
    elif step == "moved":
        writing.move_checkpoint = dying_after(writing.move_checkpoint)
    elif step == "written":
        writing.write_logs = dying_after(writing.write_logs)
    elif step == "folded":
        writing.advance_head = dying_after(writing.advance_head)
    elif step == "committed":
        listeners = Listeners(changes=die)
    elif step == "published":
        listeners = Listeners(changes=dying_after(publish_changes))
    Runner(build_indexer(listeners=listeners), once=True).run()


if __name__ == "__main__":
    main(sys.argv[1])
