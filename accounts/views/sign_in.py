"""Sign-in at an eID provider: mozilla-django-oidc's state, nonce and PKCE, with checks of our own around them."""

import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from django.conf import settings
from django.contrib import auth
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from mozilla_django_oidc.utils import import_from_settings
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView
from rest_framework.exceptions import APIException, AuthenticationFailed
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.exceptions import BadCallback, InvitationRefused, SignInRefused
from accounts.models import SignIn
from accounts.serializers import TokenPairSerializer
from accounts.services import get_metadata, get_provider, issue_access_token, issue_refresh_token, record_refusal
from accounts.services.provider_http import is_loopback
from accounts.services.providers import Provider
from accounts.views.base import PublicView, limit

STATE_SECONDS = 600
LONGEST_PARAMETER = 2048


@dataclass
class Attempt:
    """A sign-in that was started here, as the session remembers it."""

    provider: Provider
    redirect_uri: str
    next_path: str
    answers_tokens: bool
    invitation: str
    sign_in: SignIn | None = None


def single(request: HttpRequest, name: str) -> str:
    """Return a query parameter, "" where it is absent; refuse it doubled or overlong."""
    values = request.GET.getlist(name)
    if len(values) > 1:
        raise BadCallback("parameter_repeated", f"`{name}` is given more than once.")
    if values and len(values[0]) > LONGEST_PARAMETER:
        raise BadCallback("parameter_too_long", f"`{name}` is too long.")
    return values[0] if values else ""


def redirect_uri() -> str:
    # From the configuration, not from the Host header: providers compare it exactly.
    return settings.PUBLIC_URL.rstrip("/") + reverse("oidc_authentication_callback")


class StartSignIn(OIDCAuthenticationRequestView):
    """mozilla-django-oidc's start of a sign-in, for one of several providers."""

    # `as_view` takes only what the class names.
    provider: Provider = None  # type: ignore[assignment]

    def __init__(self, *, provider: Provider, **kwargs: Any) -> None:
        # Not the parent's, which reads the one provider of the settings.
        View.__init__(self, **kwargs)
        self.provider = provider
        self.OIDC_OP_AUTH_ENDPOINT = get_metadata(provider)["authorization_endpoint"]
        self.OIDC_RP_CLIENT_ID = provider.client_id

    def get_settings(self, attr: str, *args: Any) -> Any:
        return self.provider.scope if attr == "OIDC_RP_SCOPES" else import_from_settings(attr, *args)

    def get_extra_params(self, request: HttpRequest) -> dict[str, str]:
        assurance = {"acr_values": " ".join(self.provider.acr_values)} if self.provider.acr_values else {}
        return {**self.provider.extra_params, **assurance, "redirect_uri": redirect_uri()}

    def get(self, request: HttpRequest) -> HttpResponse:
        next_path = single(request, "next")
        if next_path and not is_own_path(next_path):
            raise BadCallback("next_refused", "`next` must be a path of this site.")
        answer = single(request, "response") or "session"
        if answer not in {"session", "token"}:
            raise BadCallback("response_unknown", "`response` is `session` or `token`.")
        response: HttpResponse = super().get(request)
        state = parse_qs(urlsplit(response["Location"]).query)["state"][0]
        # The parent keeps one `next` for the whole session; two tabs would share it.
        request.session.pop("oidc_login_next", None)
        request.session["oidc_states"][state] |= {
            "provider": self.provider.name,
            "next": next_path,
            "answer": answer,
            "invitation": single(request, "invitation"),
        }
        request.session.modified = True
        response["Cache-Control"] = "no-store"
        return response


def is_own_path(path: str) -> bool:
    return path.startswith("/") and url_has_allowed_host_and_scheme(path, allowed_hosts=None)


class FinishSignIn(OIDCAuthenticationCallbackView):
    """mozilla-django-oidc's end of a sign-in, reached only with a state of ours from the right provider."""

    def get(self, request: HttpRequest) -> HttpResponse:
        request.attempt = self.attempt = self.find_attempt(request)  # type: ignore[attr-defined]
        response: HttpResponse = super().get(request)
        return response

    def find_attempt(self, request: HttpRequest) -> Attempt:
        given = {name: single(request, name) for name in ("state", "code", "iss", "error")}
        if not given["state"]:
            raise BadCallback("state_missing", "The provider sent no state.")
        states = request.session.get("oidc_states", {})
        entry = states.get(given["state"])
        if not isinstance(entry, dict) or "provider" not in entry:
            raise BadCallback("state_unknown", "This sign-in was not started in this browser, or was ended already.")
        provider = get_provider(entry["provider"])
        try:
            if time.time() - entry["added_on"] > STATE_SECONDS:
                raise BadCallback("state_expired", "This sign-in took too long; start again.")
            check_issuer(provider, given["iss"])
            if given["error"]:
                code = "sign_in_cancelled" if given["error"] == "access_denied" else "provider_error"
                raise SignInRefused(code, "The provider did not sign the person in.")
            if not given["code"]:
                raise BadCallback("code_missing", "The provider sent no code.")
        except APIException:
            # A state is good for one answer, whatever that is.
            del request.session["oidc_states"][given["state"]]
            request.session.modified = True
            raise
        return Attempt(
            provider=provider,
            redirect_uri=redirect_uri(),
            next_path=entry["next"],
            answers_tokens=entry["answer"] == "token",
            invitation=entry["invitation"],
        )

    def login_failure(self) -> HttpResponse:
        raise SignInRefused("sign_in_refused", "The sign-in was refused.")

    def login_success(self) -> HttpResponse:
        sign_in = self.attempt.sign_in
        assert sign_in is not None
        response: HttpResponse
        if self.attempt.answers_tokens:
            self.request.session.flush()
            response = JsonResponse(token_pair(sign_in))
        else:
            open_session(self.request, sign_in, backend="accounts.backends.EidBackend")
            response = HttpResponseRedirect(self.attempt.next_path or home_of(sign_in))
        response["Cache-Control"] = "no-store"
        return response


def check_issuer(provider: Provider, issuer: str) -> None:
    """Check `iss` of the answer against mix-up of providers (RFC 9207)."""
    is_promised = get_metadata(provider).get("authorization_response_iss_parameter_supported") is True
    if (issuer or is_promised) and issuer != provider.issuer:
        raise SignInRefused("response_issuer", "The answer comes from another provider than the one asked.")


def open_session(request: HttpRequest, sign_in: SignIn, *, backend: str) -> None:
    """Open the browser's session of a sign-in under a new session key; it ends with the sign-in."""
    auth.login(request, sign_in.user, backend=backend)
    request.session["sign_in"] = str(sign_in.pk)
    request.session.set_expiry(sign_in.expires_at)


def home_of(sign_in: SignIn) -> str:
    return reverse("admin:index") if sign_in.user.is_staff else "/"


def token_pair(sign_in: SignIn) -> dict[str, Any]:
    """Make the first access and refresh token of a sign-in."""
    access = issue_access_token(user=sign_in.user, sign_in=sign_in)
    return {
        "access_token": str(access),
        "token_type": "Bearer",
        "expires_in": access["exp"] - access["iat"],
        "refresh_token": issue_refresh_token(sign_in=sign_in),
    }


def is_other_loopback(host: str, public: SplitResult) -> bool:
    """Tell 127.0.0.1 from localhost: the browser comes back to one of them, where the cookie with the state must be."""
    here = urlsplit(f"//{host}").hostname or ""
    return here != public.hostname and is_loopback(here) and is_loopback(public.hostname or "")


def query(name: str, description: str, *, required: bool = False, enum: list[str] | None = None) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, description=description, required=required, enum=enum)


class SignInView(PublicView):
    """A step of a sign-in: a browser is told of a refusal by a page, everything else by a problem."""

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code >= 400 and "text/html" in request.headers.get("Accept", ""):
            page = render(request._request, "accounts/sign_in_failed.html", response.data, status=response.status_code)
            for name in ("WWW-Authenticate", "Retry-After"):
                if name in response:
                    page[name] = response[name]
            response = page
        response["Cache-Control"] = "no-store"
        return response


class LoginView(SignInView):
    """Sends the browser to an eID provider."""

    @extend_schema(
        operation_id="auth_login",
        tags=["Authentication"],
        parameters=[
            query("provider", "A provider's name; the first one by default."),
            query("next", "A path of this site to go to afterwards."),
            query("response", "What the callback answers: a browser session, or tokens.", enum=["session", "token"]),
            query("invitation", "An invitation of an administrator."),
        ],
        responses={302: None, 400: OpenApiTypes.OBJECT, 404: OpenApiTypes.OBJECT, 503: OpenApiTypes.OBJECT},
    )
    def get(self, request: Request) -> HttpResponse:
        limit(request._request, group="login", rate="30/m")
        public = urlsplit(settings.PUBLIC_URL)
        if is_other_loopback(request.get_host(), public):
            return HttpResponseRedirect(f"{public.scheme}://{public.netloc}{request.get_full_path()}")
        provider = get_provider(single(request._request, "provider") or None)
        return StartSignIn.as_view(provider=provider)(request._request)


class CallbackView(SignInView):
    """Ends a sign-in: 302 with a session, or 200 with tokens."""

    @extend_schema(
        operation_id="auth_callback",
        tags=["Authentication"],
        parameters=[
            query("state", "As it was sent to the provider.", required=True),
            query("code", "The provider's code."),
            query("iss", "The provider's issuer (RFC 9207)."),
            query("error", "The provider's error, instead of a code."),
        ],
        responses={
            200: TokenPairSerializer,
            302: None,
            400: OpenApiTypes.OBJECT,
            401: OpenApiTypes.OBJECT,
            503: OpenApiTypes.OBJECT,
        },
    )
    def get(self, request: Request) -> HttpResponse:
        limit(request._request, group="callback", rate="30/m")
        return FinishSignIn.as_view()(request._request)

    def handle_exception(self, exc: Exception) -> Response:
        response = super().handle_exception(exc)
        if isinstance(exc, AuthenticationFailed | InvitationRefused | BadCallback):
            attempt = getattr(self.request._request, "attempt", None)
            provider = attempt.provider.name if attempt else ""
            record_refusal(code=response.data["code"], provider=provider, is_audited=not isinstance(exc, BadCallback))
        return response
