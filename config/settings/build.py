"""Settings of the image's build: enough to collect static files, nothing that could serve."""

from config.settings.base import *  # noqa: F403

SECRET_KEY = "insecure-build-key-that-no-process-serves-with"  # noqa: S105
