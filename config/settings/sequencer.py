"""Settings of the sequencer in production: it holds the log's key and its own database role, and no other secret."""

import secrets

from config.settings.env import env, refuse, refusing_in_one_line

with refusing_in_one_line():
    from config.settings.base import *  # noqa: F403
    from config.settings.parts.audit import AUDIT_DEVELOPMENT_KEY, AUDIT_SIGNING_KEY

# Django asks for one; nothing that this process does is signed or sealed with it.
SECRET_KEY = secrets.token_urlsafe(50)

if not env.str("DATABASE_URL", ""):
    refuse("DATABASE_URL is not set")
if not AUDIT_SIGNING_KEY:
    refuse("AUDIT_SIGNING_KEY is not set (`manage.py create_audit_key` makes one)")
if AUDIT_SIGNING_KEY == AUDIT_DEVELOPMENT_KEY:
    refuse("AUDIT_SIGNING_KEY is the public development key")
