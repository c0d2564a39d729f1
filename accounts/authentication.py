"""DRF authentication: our access tokens, and the browser's session."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication
from rest_framework.request import Request

from accounts.exceptions import InvalidToken
from accounts.models import User
from accounts.services import actor_of, check_access_token
from audit.context import current as audit_context

REALM = "psephos"
CHALLENGE = f'Bearer realm="{REALM}"'


def act_as(user: User) -> None:
    """Make a user the actor of the audit entries that this request leaves."""
    context = audit_context.get()
    if context is not None:
        context.actor = actor_of(user)


def bearer_token(authorization: str) -> str | None:
    """Return the token of an Authorization header with the Bearer scheme; raise InvalidToken on a malformed one."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        return None
    token = token.strip()
    if not token or " " in token:
        raise InvalidToken
    return token


class BearerAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer <access token>` (RFC 6750); `request.auth` is the token's claims."""

    def authenticate(self, request: Request) -> tuple[User, Mapping[str, Any]] | None:
        # The middleware over the admin API has checked it already.
        checked = getattr(request._request, "checked_bearer", None)
        if checked is None:
            token = bearer_token(request.headers.get("Authorization", ""))
            if token is None:
                return None
            checked = check_access_token(token)
        act_as(checked[0])
        return checked

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme, and the error only where a token was sent (RFC 6750, section 3.1)."""
        sent = request.headers.get("Authorization", "").partition(" ")[0].lower() == "bearer"
        return CHALLENGE + (', error="invalid_token"' if sent else "")


class SessionAuthentication(authentication.SessionAuthentication):
    """The browser's session, with the CSRF check; a session that has ended is a 401, never a redirect."""

    def authenticate(self, request: Request) -> tuple[User, Mapping[str, Any]] | None:
        found = super().authenticate(request)
        failure = getattr(request._request, "session_failure", None)
        if failure is not None:
            raise failure
        if found is None:
            return None
        act_as(found[0])
        sign_in = getattr(request._request, "sign_in", None)
        return found[0], {"sid": str(sign_in.pk) if sign_in else None}

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class BearerScheme(OpenApiAuthenticationExtension):
    target_class = BearerAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class SessionScheme(OpenApiAuthenticationExtension):
    target_class = SessionAuthentication
    name = "session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": "sessionid"}
