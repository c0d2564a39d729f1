"""Who is signed in, fresh tokens, and sign-out."""

from typing import Any
from urllib.parse import urlencode

import jwt
from django.conf import settings
from django.contrib import auth
from django.http import HttpResponse, QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import NotAuthenticated
from rest_framework.parsers import FormParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import SessionAuthentication, SessionScheme
from accounts.exceptions import LogoutTokenRefused, ProviderUnavailable, SignInRefused, UnknownProvider
from accounts.models import SignIn
from accounts.selectors import get_current_provider_token, get_sign_in
from accounts.serializers import (
    EmptySerializer,
    JwksSerializer,
    LogoutSerializer,
    MeSerializer,
    RefreshSerializer,
    RevokeSerializer,
    TokenPairSerializer,
)
from accounts.services import (
    end_by_provider,
    end_sign_in,
    get_metadata,
    get_provider,
    get_provider_of_issuer,
    issue_access_token_for_session,
    published_jwks,
    read_id_token,
    revoke_token,
    rotate_refresh_token,
)
from accounts.services.access_tokens import AccessToken
from accounts.views.base import PublicView, limit

LONGEST_LOGOUT_TOKEN = 16_384
ACCESS_SECONDS = int(AccessToken.lifetime.total_seconds())


class MeView(APIView):
    """Says who is signed in, and how long yet."""

    @extend_schema(operation_id="auth_me", tags=["Authentication"], responses=MeSerializer)
    def get(self, request: Request) -> Response:
        user: Any = request.user
        sign_in = sign_in_of(request)
        token = get_current_provider_token(sign_in.pk) if sign_in else None
        body = {
            "id": user.pk,
            "email": user.email,
            "role": user.role,
            "is_admin": user.is_admin,
            "last_sign_in": user.last_login,
            "sign_in": sign_in,
            "id_token_expires_at": token.expires_at if token else None,
        }
        return Response(MeSerializer(body).data, headers={"Cache-Control": "no-store"})


def sign_in_of(request: Request) -> SignIn | None:
    """Return the sign-in that a request's token or session belongs to."""
    claims = request.auth if isinstance(request.auth, dict) else {}
    return get_sign_in(claims["sid"]) if claims.get("sid") else None


class SessionUnlessToken(SessionAuthentication):
    """The session, where the body brings no refresh token: then whether the session lives does not matter."""

    def authenticate(self, request: Request) -> Any:
        if isinstance(request.data, dict) and "refresh_token" in request.data:
            return None
        return super().authenticate(request)


class SessionUnlessTokenScheme(SessionScheme):
    target_class = SessionUnlessToken
    name = "sessionUnlessRefreshToken"


class RefreshView(PublicView):
    """Trades a refresh token for a new pair; a browser's session (with its CSRF token) gets an access token."""

    authentication_classes: Any = (SessionUnlessToken,)

    @extend_schema(
        operation_id="auth_refresh",
        tags=["Authentication"],
        request=RefreshSerializer,
        responses={200: TokenPairSerializer, 401: OpenApiTypes.OBJECT, 503: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request) -> Response:
        limit(request._request, group="refresh", rate="60/m")
        serializer = RefreshSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        token = serializer.validated_data.get("refresh_token")
        pair: dict[str, Any] = {"token_type": "Bearer", "expires_in": ACCESS_SECONDS}
        if token:
            pair["access_token"], pair["refresh_token"] = rotate_refresh_token(token=token)
        else:
            sign_in = sign_in_of(request)
            if sign_in is None:
                raise NotAuthenticated
            pair["access_token"] = issue_access_token_for_session(sign_in=sign_in)
        return Response(pair, headers={"Cache-Control": "no-store"})


class LogoutView(APIView):
    """Ends the sign-in: its session, its access tokens and its refresh tokens."""

    @extend_schema(
        operation_id="auth_logout", tags=["Authentication"], request=EmptySerializer, responses=LogoutSerializer
    )
    def post(self, request: Request) -> Response:
        EmptySerializer(data=request.data).is_valid(raise_exception=True)
        url = sign_out(request._request, sign_in_of(request))
        return Response({"provider_logout_url": url}, headers={"Cache-Control": "no-store"})


class RevokeView(PublicView):
    """Takes back an access token alone, or a refresh token with its whole sign-in."""

    @extend_schema(
        operation_id="auth_revoke",
        tags=["Authentication"],
        request=RevokeSerializer,
        responses={200: OpenApiResponse(description="The token is worth nothing (any more).")},
    )
    def post(self, request: Request) -> Response:
        limit(request._request, group="revoke", rate="60/m")
        serializer = RevokeSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        revoke_token(token=serializer.validated_data["token"])
        return Response(status=status.HTTP_200_OK, headers={"Cache-Control": "no-store"})


def sign_out(request: Any, sign_in: SignIn | None) -> str | None:
    """End a sign-in and the browser's session; return where the person can sign out at the provider too."""
    url = provider_logout_url(sign_in) if sign_in else None
    if sign_in is not None:
        end_sign_in(sign_in=sign_in, because="signed_out")
    auth.logout(request)
    return url


def provider_logout_url(sign_in: SignIn) -> str | None:
    """Build the address of the provider's own logout (OpenID Connect RP-Initiated Logout 1.0)."""
    if sign_in.method != SignIn.Method.EID:
        return None
    try:
        provider = get_provider(sign_in.provider)
        endpoint = get_metadata(provider).get("end_session_endpoint")
    except (UnknownProvider, SignInRefused, ProviderUnavailable):
        return None
    if not endpoint:
        return None
    hint = read_id_token(sign_in=sign_in)
    parameters = {"client_id": provider.client_id, "post_logout_redirect_uri": settings.PUBLIC_URL.rstrip("/") + "/"}
    return f"{endpoint}?{urlencode(parameters | ({'id_token_hint': hint} if hint else {}))}"


class BackchannelLogoutView(PublicView):
    """Ends the sign-ins that a provider says are over (OpenID Connect Back-Channel Logout 1.0)."""

    parser_classes = (FormParser,)

    @extend_schema(
        operation_id="auth_backchannel_logout",
        tags=["Authentication"],
        request={"application/x-www-form-urlencoded": {"type": "object", "properties": {"logout_token": {}}}},
        responses={200: OpenApiResponse(description="The sign-ins are ended."), 400: OpenApiTypes.OBJECT},
    )
    def post(self, request: Request) -> Response:
        limit(request._request, group="backchannel", rate="300/m")
        # Of a request without a body DRF makes a plain dict.
        tokens = request.data.getlist("logout_token") if isinstance(request.data, QueryDict) else []
        if len(tokens) != 1 or len(tokens[0]) > LONGEST_LOGOUT_TOKEN:
            raise LogoutTokenRefused("logout_token_missing", "One logout token is needed.")
        provider = get_provider_of_issuer(claimed_issuer(tokens[0]))
        if provider is None:
            raise LogoutTokenRefused("logout_token_issuer", "The token is from no provider of ours.")
        end_by_provider(provider=provider, logout_token=tokens[0])
        return Response(status=status.HTTP_200_OK, headers={"Cache-Control": "no-store"})


def claimed_issuer(token: str) -> Any:
    """Read which provider's keys a token must be checked against; nothing is believed yet."""
    try:
        return jwt.decode(token, options={"verify_signature": False}).get("iss")
    except (jwt.PyJWTError, ValueError, RecursionError):
        return None


class JwksView(PublicView):
    """Publishes the keys that verify our access tokens (RFC 7517)."""

    @extend_schema(operation_id="jwks", tags=["Authentication"], responses=JwksSerializer)
    def get(self, request: Request) -> HttpResponse:
        return Response(published_jwks(), headers={"Cache-Control": "public, max-age=300"})
