"""Every rule and every write of `accounts`."""

from accounts.services.access_tokens import (
    authenticate_bearer,
    check_access_token,
    is_admin_by_token,
    issue_access_token,
    revoke_access_token,
)
from accounts.services.keys import generate_signing_key, published_jwks
from accounts.services.users import actor_of, check_password_of_admin

__all__ = [
    "actor_of",
    "authenticate_bearer",
    "check_access_token",
    "check_password_of_admin",
    "generate_signing_key",
    "is_admin_by_token",
    "issue_access_token",
    "published_jwks",
    "revoke_access_token",
]
