"""DRF authentication: our access tokens, and the browser's session."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import authentication
from rest_framework.request import Request

from accounts.exceptions import InvalidToken
from accounts.models import User
from accounts.services import check_access_token

REALM = "psephos"


class BearerAuthentication(authentication.BaseAuthentication):
    """`Authorization: Bearer <access token>` (RFC 6750); `request.auth` is the token's claims."""

    def authenticate(self, request: Request) -> tuple[User, Mapping[str, Any]] | None:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        token = token.strip()
        if not token or " " in token:
            raise InvalidToken
        return check_access_token(token)

    def authenticate_header(self, request: Request) -> str:
        """Name the scheme, and the error only where a token was sent (RFC 6750, section 3.1)."""
        sent = request.headers.get("Authorization", "").partition(" ")[0].lower() == "bearer"
        return f'Bearer realm="{REALM}"' + (', error="invalid_token"' if sent else "")


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = BearerAuthentication
    name = "bearer"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
