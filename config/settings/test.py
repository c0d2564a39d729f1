"""Settings of the test suite; conftest.py starts the services and points the environment at them."""

from config.settings.env import refusing_in_one_line

with refusing_in_one_line():
    from config.settings.base import *  # noqa: F403
    from config.settings.base import AUDIT_DEVELOPMENT_KEY

SECRET_KEY = "insecure-test-key-do-not-use-in-production"  # noqa: S105
AUDIT_SIGNING_KEY = AUDIT_DEVELOPMENT_KEY
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
CELERY_TASK_ALWAYS_EAGER = False
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Straight from the apps: tests run without collectstatic.
WHITENOISE_USE_FINDERS = True
# The first account of anvil's public mnemonic.
CHAIN_SENDER_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
# The limiter stays on, out of the way of tests that are not about it.
RATE_LIMIT = "100000000/60"
RATE_LIMIT_ROUTES = []
API_KEY_USAGE_FLUSH_SECONDS = 0
# Keys from one machine and a public constant, good enough to try everything with.
ZK_ALLOW_DEVELOPMENT_KEYS = True
