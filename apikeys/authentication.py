"""DRF authentication by API key, and by HTTP Basic for the administrators of keys."""

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import User
from apikeys.models import ApiKey
from apikeys.services import authenticate_key, check_scope, owner_of


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
