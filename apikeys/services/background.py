"""The process's one thread beside the requests: writes usage, and keeps the rows of keys in use fresh."""

import logging
import os
import threading
import time
from multiprocessing.util import Finalize

from django.conf import settings
from django.db import DatabaseError, close_old_connections, connection

from apikeys.services.key_cache import refresh_keys
from apikeys.services.usage import flush_usage

logger = logging.getLogger(__name__)

_thread: threading.Thread | None = None
_starting = threading.Lock()


def keep_running() -> None:
    """Start the thread, unless it runs already or settings.API_KEY_USAGE_FLUSH_SECONDS is 0."""
    global _thread
    if _thread is not None or not settings.API_KEY_USAGE_FLUSH_SECONDS:
        return
    with _starting:
        if _thread is None:
            _thread = threading.Thread(target=_run, name="apikeys", daemon=True)
            _thread.start()
            # Not `atexit`: a server's workers are processes of multiprocessing, which end without it.
            Finalize(None, _write_last, exitpriority=100)


def _run() -> None:
    written_at = time.monotonic()
    while settings.API_KEY_USAGE_FLUSH_SECONDS:  # a test ends it so
        # Twice in the life of a row, so that a request finds one that lives.
        time.sleep(min(settings.API_KEY_CACHE_SECONDS / 2, settings.API_KEY_USAGE_FLUSH_SECONDS))
        try:
            refresh_keys()
            if time.monotonic() - written_at >= settings.API_KEY_USAGE_FLUSH_SECONDS:
                written_at = time.monotonic()
                flush_usage()
        except DatabaseError as error:
            logger.warning("the database does not answer: usage of API keys waits (%s)", type(error).__name__)
        except Exception:
            logger.exception("usage of API keys waits")
        finally:
            close_old_connections()


def _write_last() -> None:
    try:
        flush_usage()
    except DatabaseError as error:
        logger.error("the last counts of API keys are lost (%s)", type(error).__name__)
    finally:
        connection.close()


def _forget_thread() -> None:
    global _thread, _starting
    _thread, _starting = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_thread)
