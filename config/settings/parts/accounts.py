"""Settings of `accounts`."""

from datetime import timedelta
from typing import Any

from config.settings.env import env

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = [
    "accounts.backends.SessionBackend",
    "accounts.backends.EidBackend",
    "accounts.backends.PasswordBackend",
]
# An e-mail is unique among users who are not deleted, by a partial constraint that the check does not see.
# django-ratelimit does not know django-prometheus's Redis cache, whose increment is atomic.
SILENCED_SYSTEM_CHECKS = ["auth.W004", "django_ratelimit.E003", "django_ratelimit.W001"]
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.Argon2PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

# Each a PEM file's path or base64 of PEM (`manage.py generate_signing_key`): the first signs, all verify. Left
# empty, a key is derived from SECRET_KEY so that the processes of one machine agree; production refuses that.
AUTH_SIGNING_KEYS: list[str] = env.list("AUTH_SIGNING_KEYS", [])
AUTH_TOKEN_AUDIENCE = "psephos"  # noqa: S105

# Fernet keys that seal the providers' tokens at rest: the first seals, all open. Without it, derived from SECRET_KEY.
TOKEN_ENCRYPTION_KEYS: list[str] = env.list("TOKEN_ENCRYPTION_KEYS", [])
# How long a sign-in lives at most; its session and refresh tokens end with it.
AUTH_SIGN_IN_HOURS: int = env.int("AUTH_SIGN_IN_HOURS", 12)
AUTH_REFRESH_TOKEN_HOURS: int = env.int("AUTH_REFRESH_TOKEN_HOURS", 12)

# eID providers, the default first: a JSON list of {"name", "issuer", "client_id", "client_secret", "label", "scope",
# "algorithms", "token_endpoint_auth_method", "acr_values", "extra_params"}, of which the first three are required.
OIDC_PROVIDERS: Any = env.json("OIDC_PROVIDERS", [])
# For the local provider; production turns it off.
OIDC_ALLOW_HTTP_ON_LOOPBACK = True
# The deadline of one exchange with a provider.
OIDC_TIMEOUT_SECONDS: float = env.float("OIDC_TIMEOUT_SECONDS", 5.0)
# An unknown `kid` makes us fetch a provider's keys again, at most this often.
OIDC_JWKS_REFETCH_SECONDS = 10
OIDC_ID_TOKEN_MINUTES = 30
# mozilla-django-oidc's
OIDC_USE_PKCE = True
OIDC_PKCE_CODE_CHALLENGE_METHOD = "S256"
OIDC_USE_NONCE = True
OIDC_MAX_STATES = 20

# django-ratelimit, for passwords and sign-ins
RATELIMIT_IP_META_KEY = "config.addresses.client_address"

SESSION_COOKIE_AGE = AUTH_SIGN_IN_HOURS * 3600
SESSION_COOKIE_HTTPONLY = True
# Lax: the return from a provider is a navigation from another site and must carry the cookie with the state.
SESSION_COOKIE_SAMESITE = "Lax"
LOGIN_URL = "admin:login"

# The algorithm and the empty key make simplejwt's own token classes unusable: ours name their key by `kid`.
SIMPLE_JWT = {
    "ALGORITHM": "EdDSA",
    "SIGNING_KEY": "",
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=30),
    "USER_ID_CLAIM": "sub",
    "TOKEN_TYPE_CLAIM": "token_type",
    "LEEWAY": 0,
}

ACCOUNTS_BEAT: dict[str, dict[str, Any]] = {
    "accounts-purge-expired": {"task": "accounts.purge_expired", "schedule": 3600},
    "accounts-sample-metrics": {"task": "accounts.sample_metrics", "schedule": 15, "options": {"expires": 15}},
}

# Who fills GET /admin/metrics and the dashboard: name → a function without arguments that returns a dict.
ADMIN_METRICS_SOURCES = {
    "requests": "config.admin_metrics.requests",
    "queues": "config.admin_metrics.queues",
    "workers": "config.admin_metrics.workers",
    "indexer": "config.admin_metrics.indexer",
    "providers": "notifications.services.provider_states",
}
