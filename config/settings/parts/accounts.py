"""Settings of `accounts`."""

from datetime import timedelta
from typing import Any

from config.settings.env import env

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["accounts.backends.SessionBackend", "accounts.backends.PasswordBackend"]
# An e-mail is unique among users who are not deleted, by a partial constraint that the check does not see.
SILENCED_SYSTEM_CHECKS = ["auth.W004"]
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

# The algorithm and the empty key make simplejwt's own token classes unusable: ours name their key by `kid`.
SIMPLE_JWT = {
    "ALGORITHM": "EdDSA",
    "SIGNING_KEY": "",
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=30),
    "USER_ID_CLAIM": "sub",
    "TOKEN_TYPE_CLAIM": "token_type",
    "LEEWAY": 0,
}

ACCOUNTS_BEAT: dict[str, dict[str, Any]] = {}
