"""Reads and row locks of `accounts`."""

import uuid
from typing import Any

from django.db.models import Exists, Value

from accounts.models import RevokedToken, SignIn


def get_sign_in_of_token(*, sign_in_id: Any, user_id: str, jti: str) -> Any:
    """Return the sign-in of an access token with its user and `is_token_revoked`, or None, in one query."""
    try:
        key, user_key = uuid.UUID(sign_in_id), uuid.UUID(user_id)
    except (ValueError, TypeError, AttributeError):
        return None
    revoked = Exists(RevokedToken.objects.filter(jti=Value(jti)))
    return (
        SignIn.objects.select_related("user")
        .filter(pk=key, user_id=user_key)
        .annotate(is_token_revoked=revoked)
        .first()
    )
