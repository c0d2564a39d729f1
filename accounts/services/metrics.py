"""Figures for administrators, from sources that the settings name."""

import logging
from collections.abc import Callable, Collection
from typing import Any

from django.conf import settings
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)


def read_admin_metrics(*, only: Collection[str] | None = None) -> dict[str, dict[str, Any]]:
    """Ask each source of ADMIN_METRICS_SOURCES (name: dotted path of a function that returns a dict).

    Inner rooms cannot import those that know the chain or the queues; whoever composes the apps names them.
    A source that fails is reported by its exception's class and spoils no other. `only` names the sources to ask.
    """
    figures: dict[str, dict[str, Any]] = {}
    for name, path in settings.ADMIN_METRICS_SOURCES.items():
        if only is not None and name not in only:
            continue
        source: Callable[[], dict[str, Any]] = import_string(path)
        try:
            figures[name] = source()
        except Exception as error:
            logger.exception("a source of metrics failed", extra={"source": name})
            figures[name] = {"error": type(error).__name__}
    return figures
