"""The Celery application."""

import os
import time
from typing import Any

from celery import Celery, signals

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

app = Celery("psephos")
# Without this only the importing thread sends to our broker; a server's other threads would try AMQP on localhost.
app.set_default()
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

started_at: dict[str, float] = {}


@signals.task_prerun.connect
def note_start(task_id: str, **_: Any) -> None:
    started_at[task_id] = time.perf_counter()


@signals.task_postrun.connect
def count_task(task_id: str, task: Any, state: str | None, **_: Any) -> None:
    """Count a task and its duration; names are those of registered tasks, hence few."""
    from config.metrics import TASK_SECONDS, TASKS

    TASKS.labels(task.name, (state or "unknown").lower()).inc()
    if (started := started_at.pop(task_id, None)) is not None:
        TASK_SECONDS.labels(task.name).observe(time.perf_counter() - started)
