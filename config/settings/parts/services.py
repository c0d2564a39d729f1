"""PostgreSQL, Redis and the channel layer."""

from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config.settings.env import env, is_url

REDIS_URL: str = env.str("REDIS_URL", "redis://127.0.0.1:6379/0", validate=is_url("redis", "rediss", "unix"))

# The application's role, in the sequencer's process its own; migrations run as MIGRATION_DATABASE_URL's, which owns the
# tables.
DATABASES: dict[str, dict[str, Any]] = {
    "default": env.dj_db_url("DATABASE_URL", "postgresql://psephos_app@127.0.0.1:5432/psephos")
}
DATABASES["default"]["ENGINE"] = "config.database"
DATABASES["default"]["CONN_MAX_AGE"] = 0
# A connection that broke while it lay in the pool (PostgreSQL restarted) is found out when it is taken.
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DATABASES["default"].setdefault("OPTIONS", {})["pool"] = {
    "min_size": 1,
    "max_size": env.int("DATABASE_POOL_SIZE", 8),
    "timeout": 4,
}
# psycopg prepares nothing by itself: it would send DEALLOCATE ALL after a rollback, and the audit log's prepared INSERT
# were gone. A pooler between must keep prepared statements (PgBouncer does from 1.21 on).
DATABASES["default"]["OPTIONS"]["prepare_threshold"] = None
MIGRATION_DATABASE_URL: str = env.str("MIGRATION_DATABASE_URL", "", validate=is_url("postgresql", "postgres"))

# The roles that `migrate` grants their rights: the application's, which reads the audit log and adds entries to it, and
# the sequencer's, which alone makes the log of them.
DATABASE_APP_ROLE: str = env.str("DATABASE_APP_ROLE", "psephos_app")
DATABASE_SEQUENCER_ROLE: str = env.str("DATABASE_SEQUENCER_ROLE", "psephos_sequencer")
if DATABASE_SEQUENCER_ROLE == DATABASE_APP_ROLE:
    raise ImproperlyConfigured("DATABASE_SEQUENCER_ROLE must be another role than DATABASE_APP_ROLE")

CACHES = {
    "default": {
        "BACKEND": "django_prometheus.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "KEY_PREFIX": "psephos",
    }
}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": "psephos"},
    }
}
