"""Our own access tokens: simplejwt tokens signed by an asymmetric key that their `kid` names."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jwt
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from rest_framework_simplejwt.backends import TokenBackend
from rest_framework_simplejwt.exceptions import (
    ExpiredTokenError,
    TokenBackendError,
    TokenBackendExpiredToken,
    TokenError,
)
from rest_framework_simplejwt.tokens import AccessToken as SimpleAccessToken

from accounts.exceptions import InvalidToken, TokenExpired, TokenRevoked, UserDeactivated
from accounts.models import RevokedToken, Role, SignIn, User
from accounts.selectors import get_sign_in_of_token
from accounts.services.actors import actor_of
from accounts.services.keys import key_by_id, signing_keys
from audit.services import record

# Ours have about 600 characters; nothing longer reaches a parser.
LONGEST_TOKEN = 4096


class KeyedTokenBackend(TokenBackend):
    """Signs with the first key and verifies with the key, and the one algorithm, that `kid` names."""

    def __init__(self) -> None:
        super().__init__("EdDSA", audience=settings.AUTH_TOKEN_AUDIENCE, issuer=settings.PUBLIC_URL)

    def encode(self, payload: dict[str, Any]) -> str:
        key = signing_keys()[0]
        claims = {**payload, "aud": self.audience, "iss": self.issuer}
        return jwt.encode(claims, key.private, algorithm=key.algorithm, headers={"kid": key.kid})  # type: ignore[arg-type]

    def decode(self, token: Any, verify: bool = True) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
            kid = header.get("kid")
            key = key_by_id(kid) if isinstance(kid, str) else None
            if key is None or "crit" in header:
                raise TokenBackendError("The token names no key of ours")
            claims: dict[str, Any] = jwt.decode(
                token,
                key.public,
                algorithms=[key.algorithm],
                audience=self.audience,
                issuer=self.issuer,
                options={"require": ["exp", "iat", "sub", "jti", "aud", "iss"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenBackendExpiredToken("Token is expired") from error
        except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
            raise TokenBackendError("Token is invalid") from error
        return claims


class AccessToken(SimpleAccessToken):
    """Lives 30 minutes; carries `sub`, `jti`, `sid` (its sign-in), `role` and the `admin` claim."""

    def get_token_backend(self) -> TokenBackend:
        return KeyedTokenBackend()


def issue_access_token(*, user: User, sign_in: SignIn) -> AccessToken:
    """Make an access token of a sign-in's user; `str()` of it is the JWT."""
    token = AccessToken.for_user(user)
    token["sid"] = str(sign_in.pk)
    token["role"] = user.role
    token["role_version"] = user.role_version
    token["admin"] = user.is_admin
    return token


@transaction.atomic
def issue_access_token_for_session(*, sign_in: SignIn) -> str:
    """Make an access token for the scripts of a browser's session."""
    record(action="accounts.access_token.issued", actor=actor_of(sign_in.user), target=f"sign_in:{sign_in.pk}")
    return str(issue_access_token(user=sign_in.user, sign_in=sign_in))


def read_access_token(token: str | bytes) -> AccessToken:
    """Verify a token's signature and claims without asking the database."""
    if len(token) > LONGEST_TOKEN:
        raise InvalidToken
    try:
        text = token.decode("ascii") if isinstance(token, bytes) else token
        return AccessToken(text)  # type: ignore[arg-type]
    except ExpiredTokenError as error:
        raise TokenExpired from error
    except (TokenError, UnicodeError) as error:
        raise InvalidToken from error


def check_access_token(token: str | bytes) -> tuple[User, Mapping[str, Any]]:
    """Return a token's user and claims, in one query; raise what is wrong with it (401).

    Nothing is cached: a revoked token, a revoked sign-in and a deactivated user fail at once.
    """
    claims = read_access_token(token).payload
    found = get_sign_in_of_token(sign_in_id=claims.get("sid"), user_id=claims["sub"], jti=claims["jti"])
    if found is None:
        raise InvalidToken
    sign_in, is_revoked = found
    if not sign_in.user.is_active:
        raise UserDeactivated
    if is_revoked or sign_in.revoked_at is not None or sign_in.expires_at <= timezone.now():
        raise TokenRevoked
    return sign_in.user, claims


def authenticate_bearer(token: str | bytes) -> User:
    """Return the user of an access token; raise an APIException with status 401 otherwise."""
    return check_access_token(token)[0]


def is_admin_by_token(*, user: User, claims: Mapping[str, Any]) -> bool:
    """Tell whether a token opens the admin API: its user is an admin now, and its `admin` claim says so.

    Where the role changed after the token was issued, the claim is stale and the users table alone decides.
    """
    is_stale = claims.get("role_version") != user.role_version
    return user.is_admin and user.role == Role.ADMIN and (is_stale or claims.get("admin") is True)


def revoke_access_token(*, claims: Mapping[str, Any]) -> None:
    """Revoke one access token by its `jti` until it would have expired."""
    expires_at = datetime.fromtimestamp(claims["exp"], tz=UTC)
    RevokedToken.objects.get_or_create(jti=claims["jti"], defaults={"expires_at": expires_at})
