"""Settings of `jobs` and of Celery."""

from typing import Any

from celery.schedules import crontab

from config.settings.env import env, is_url
from config.settings.parts.services import REDIS_URL

CELERY_BROKER_URL: str = (
    env.str("CELERY_BROKER_URL", "", validate=is_url("redis", "rediss", "amqp", "amqps")) or REDIS_URL
)
CELERY_RESULT_BACKEND = "django-db"
CELERY_RESULT_EXTENDED = True
CELERY_RESULT_EXPIRES: int = env.int("JOBS_RESULT_DAYS", 7) * 24 * 3600
CELERY_TASK_TRACK_STARTED = True
# A task is acknowledged after it ran: a killed worker's task runs again.
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# A worker that loses the broker keeps running what it has; the job's lease, not the broker, prevents a second run.
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_TASK_DEFAULT_QUEUE = "default"
# Jobs name their queue themselves (`jobs.services.starting`).
CELERY_TASK_ROUTES = {"audit.*": {"queue": "audit"}}
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 3600, "socket_connect_timeout": 3, "socket_timeout": 30}
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"

# Jobs of people that may wait in one queue before further ones are refused with 503.
JOBS_QUEUE_LIMIT: int = env.int("JOBS_QUEUE_LIMIT", 1000)
JOBS_QUEUE_FULL_RETRY_SECONDS: int = env.int("JOBS_QUEUE_FULL_RETRY_SECONDS", 10)
# A running job's worker renews its lease ten times within this; a job whose lease has expired runs again.
JOBS_LEASE_SECONDS: float = env.float("JOBS_LEASE_SECONDS", 20)
# How long a cancelled job may take to notice before it is interrupted.
JOBS_CANCEL_GRACE_SECONDS: float = env.float("JOBS_CANCEL_GRACE_SECONDS", 3)
JOBS_RESEND_AFTER_SECONDS: int = env.int("JOBS_RESEND_AFTER_SECONDS", 60)
# Encrypted inputs of secret jobs live in Redis no longer than this.
JOBS_SECRET_INPUT_SECONDS: int = env.int("JOBS_SECRET_INPUT_SECONDS", 3600)
JOBS_RETENTION_DAYS: int = env.int("JOBS_RETENTION_DAYS", 90)

JOBS_BEAT: dict[str, dict[str, Any]] = {
    "jobs.recover": {"task": "jobs.recover", "schedule": 15.0, "options": {"expires": 15}},
    "jobs.purge": {"task": "jobs.purge", "schedule": crontab(hour=3, minute=10)},
}
