"""Settings of `make run`: a developer's machine, nothing secret."""

from config.settings.env import refusing_in_one_line

with refusing_in_one_line():
    from config.settings.base import *  # noqa: F403
    from config.settings.base import SECRET_KEY

DEBUG = False
# Marked as a development key; production refuses keys with this prefix.
SECRET_KEY = SECRET_KEY or "insecure-development-key-do-not-use-in-production"
