"""Settings of `make run`: a developer's machine, nothing secret."""

from config.settings.env import refusing_in_one_line

with refusing_in_one_line():
    from config.settings.base import *  # noqa: F403
    from config.settings.base import AUDIT_DEVELOPMENT_KEY, AUDIT_SIGNING_KEY, CHAIN_SENDER_KEY, SECRET_KEY

DEBUG = False
# Marked as a development key; production refuses keys with this prefix.
SECRET_KEY = SECRET_KEY or "insecure-development-key-do-not-use-in-production"
# The first account of anvil's public mnemonic, which `make run`'s node funds; production refuses it.
CHAIN_SENDER_KEY = CHAIN_SENDER_KEY or "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
AUDIT_SIGNING_KEY = AUDIT_SIGNING_KEY or AUDIT_DEVELOPMENT_KEY

# Static files straight from the apps: compressing them takes most of a minute, which production's image build pays.
WHITENOISE_USE_FINDERS = True
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
# Keys from one machine and a public constant, good enough to try everything with.
ZK_ALLOW_DEVELOPMENT_KEYS = True
GRAPHQL_INTROSPECTION = True
GRAPHIQL = True
