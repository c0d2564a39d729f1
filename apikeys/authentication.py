"""DRF authentication by API key, and by HTTP Basic for the administrators of keys."""

import base64
import binascii
import hashlib
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication, BasicAuthentication
from rest_framework.exceptions import APIException
from rest_framework.request import Request

from accounts.models import User
from accounts.services import check_password_of_admin
from apikeys.exceptions import BasicRefused, RateLimited
from apikeys.models import ApiKey
from apikeys.services import Limit, authenticate_key, check_scope, find_client, owner_of, take

# Wrong passwords in a minute, by address and by account.
FAILURES_BY_ADDRESS = Limit(10, 60, 10)
FAILURES_BY_ACCOUNT = Limit(30, 60, 30)


class ApiKeyAuthentication(BaseAuthentication):
    """Authenticate `Authorization: Api-Key psk_…` as the key's owner; `request.auth` is the key.

    The view must declare a scope for the method (`api_key_scopes = {"GET": "elections:read"}`); without one, no
    key is accepted. The view's permissions apply to the owner as well.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        authorization = request.META.get("HTTP_AUTHORIZATION", "")
        scheme, _, text = authorization.partition(" ")
        if scheme.lower() != "api-key":
            return None
        # The middleware has proved the key already; without it (a test's request) this does.
        admission = getattr(request._request, "admission", None)
        key = admission.key if admission and admission.key else authenticate_key(text.strip())
        view: Any = (request.parser_context or {}).get("view")
        check_scope(key, scopes=getattr(view, "api_key_scopes", None), method=request.method or "")
        return owner_of(key), key

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"


class BasicAdminAuthentication(BasicAuthentication):
    """HTTP Basic (RFC 7617) for administrators: their e-mail with their password, or with an admin key of theirs.

    Only failures count against its own buckets, and past them even the right password waits.
    """

    def authenticate(self, request: Request) -> tuple[User, ApiKey | None] | None:
        scheme, _, encoded = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            text = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, ValueError):
            raise BasicRefused from None
        # The first colon ends the name: a password may hold more of them.
        email, colon, password = text.partition(":")
        if not colon or "\0" in text:
            raise BasicRefused

        client = find_client(
            peer=request.META.get("REMOTE_ADDR", ""), forwarded_for=request.META.get("HTTP_X_FORWARDED_FOR", "")
        )
        account = hashlib.sha256(email.strip().lower().encode()).hexdigest()[:32]
        buckets = [(f"basic:{client.identity}", FAILURES_BY_ADDRESS), (f"basic:account:{account}", FAILURES_BY_ACCOUNT)]
        for identity, limit in buckets:
            decision = take(identity=identity, limit=limit, cost=0, route_class="auth")
            decision.raise_refusal()
            if decision.remaining == 0:
                raise RateLimited(decision.reset_seconds)
        try:
            return self.check(request, email=email, password=password)
        except APIException:
            for identity, limit in buckets:
                take(identity=identity, limit=limit, route_class="auth")
            raise

    def check(self, request: Request, *, email: str, password: str) -> tuple[User, ApiKey | None]:
        if not password.startswith("psk_"):
            user = check_password_of_admin(email=email, password=password)
            if user is None:
                raise BasicRefused
            return user, None
        key = authenticate_key(password)
        if (key.owner.email or "").lower() != email.strip().lower():
            raise BasicRefused
        view: Any = (request.parser_context or {}).get("view")
        check_scope(key, scopes=getattr(view, "api_key_scopes", None), method=request.method or "")
        if admission := getattr(request._request, "admission", None):
            admission.key = key  # its requests are counted as the key's
        return owner_of(key), key

    def authenticate_header(self, request: Request) -> str:
        return 'Basic realm="psephos", charset="UTF-8"'


class ApiKeyScheme(OpenApiAuthenticationExtension):
    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Authorization: Api-Key psk_…`",
        }


class BasicScheme(OpenApiAuthenticationExtension):
    target_class = BasicAdminAuthentication
    name = "basic"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "basic"}
