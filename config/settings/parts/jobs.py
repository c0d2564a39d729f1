"""Settings of `jobs` and of Celery."""

from typing import Any

from config.settings.env import env, is_url
from config.settings.parts.services import REDIS_URL

CELERY_BROKER_URL: str = (
    env.str("CELERY_BROKER_URL", "", validate=is_url("redis", "rediss", "amqp", "amqps")) or REDIS_URL
)
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_RESULT_EXPIRES = 7 * 24 * 3600
CELERY_TASK_TRACK_STARTED = True
# A task is acknowledged after it ran: a killed worker's task runs again.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

JOBS_BEAT: dict[str, dict[str, Any]] = {}
