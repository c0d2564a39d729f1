"""Settings of production, but for the sequencer (config.settings.sequencer): refuses to start without its secrets."""

from audit.note import SigningKey
from config.settings.env import env, refuse, refusing_in_one_line

with refusing_in_one_line():
    from config.settings.base import *  # noqa: F403
    from config.settings.base import API_KEY_PEPPERS, CENSUS_KEY, METRICS_TOKEN, SECRET_KEY
    from config.settings.parts.accounts import AUTH_SIGNING_KEYS, TOKEN_ENCRYPTION_KEYS
    from config.settings.parts.audit import (
        AUDIT_DEVELOPMENT_KEY,
        AUDIT_DEVELOPMENT_PEPPER,
        AUDIT_PEPPER,
        AUDIT_SIGNING_KEY,
        AUDIT_VERIFIER_KEYS,
    )
    from config.settings.parts.chain import PUBLIC_SENDER_KEYS

if not SECRET_KEY:
    refuse("SECRET_KEY is not set")
if SECRET_KEY.startswith("insecure-") or len(SECRET_KEY) < 50:
    refuse("SECRET_KEY is a development key or shorter than 50 characters")
for _name in ("DATABASE_URL", "REDIS_URL", "ALLOWED_HOSTS", "PUBLIC_URL"):
    if not env.str(_name, ""):
        refuse(f"{_name} is not set")
# Public private keys (anvil's and hardhat's first ten accounts): whoever reads a tutorial can sign with them.
if env.str("CHAIN_SENDER_KEY", "").lower().removeprefix("0x") in PUBLIC_SENDER_KEYS:
    refuse("CHAIN_SENDER_KEY is one of anvil's public development keys")
if any(_pepper.partition(":")[2].startswith("insecure-") for _pepper in API_KEY_PEPPERS):
    refuse("API_KEY_PEPPERS is not set, or holds a development pepper")

# The public half is enough for all but the sequencer.
if not AUDIT_VERIFIER_KEYS and not AUDIT_SIGNING_KEY:
    refuse("AUDIT_VERIFIER_KEYS is not set (`manage.py create_audit_key` makes the log's keys)")
if AUDIT_SIGNING_KEY == AUDIT_DEVELOPMENT_KEY:
    refuse("AUDIT_SIGNING_KEY is the public development key")
# Anybody can sign what it verifies.
if str(SigningKey.parse(AUDIT_DEVELOPMENT_KEY).verifier()) in AUDIT_VERIFIER_KEYS:
    refuse("AUDIT_VERIFIER_KEYS holds the public development key")
if AUDIT_PEPPER == AUDIT_DEVELOPMENT_PEPPER or len(AUDIT_PEPPER) < 32:
    refuse("AUDIT_PEPPER is not set or shorter than 32 characters")
if CENSUS_KEY.startswith("insecure-") or len(CENSUS_KEY) < 32:
    refuse("CENSUS_KEY is a development key or shorter than 32 characters")

if not AUTH_SIGNING_KEYS:
    refuse("AUTH_SIGNING_KEYS is not set (`manage.py generate_signing_key` makes one)")
if not TOKEN_ENCRYPTION_KEYS:
    refuse("TOKEN_ENCRYPTION_KEYS is not set (`manage.py generate_signing_key --sealing` makes one)")
# Checked again, with all else that a provider needs, when `accounts` is ready.
OIDC_ALLOW_HTTP_ON_LOOPBACK = False

if not METRICS_TOKEN:
    refuse("METRICS_TOKEN is not set")

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = True
SECURE_REDIRECT_EXEMPT = [r"^healthz$", r"^readyz$", r"^metrics$"]
SECURE_HSTS_SECONDS = 63_072_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_HSTS_PRELOAD = True
SESSION_COOKIE_SECURE = True
SESSION_COOKIE_NAME = "__Host-session"
CSRF_COOKIE_SECURE = True
CSRF_COOKIE_NAME = "__Host-csrf"
