"""Middleware: sessions that live as long as their sign-in, and the door of the admin API."""

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from rest_framework.authentication import BasicAuthentication
from rest_framework.exceptions import APIException, AuthenticationFailed, NotAuthenticated
from rest_framework.views import APIView

from accounts.authentication import CHALLENGE, bearer_token
from accounts.exceptions import AdminRequired, ProviderUnavailable, SignInEnded, SignInStale
from accounts.problems import problem_of
from accounts.selectors import get_sign_in
from accounts.services import check_access_token, ensure_fresh, is_admin_by_token

GetResponse = Callable[[HttpRequest], HttpResponse]


def problem(error: APIException) -> HttpResponse:
    """Answer with an error and, where credentials are asked for, with the scheme."""
    if isinstance(error, AuthenticationFailed | NotAuthenticated):
        sent = ', error="invalid_token"' if isinstance(error, AuthenticationFailed) else ""
        error.auth_header = CHALLENGE + sent  # type: ignore[union-attr]
    return problem_of(error)


class SignInMiddleware:
    """Make `request.user` anonymous once the session's sign-in has ended; refresh it silently while it can be.

    Nothing is read until somebody asks for the user, and nothing at all without a session cookie.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if settings.SESSION_COOKIE_NAME in request.COOKIES:
            request.user = SimpleLazyObject(lambda: user_of_session(request))  # type: ignore[assignment]
        response = self.get_response(request)
        if is_to_login(response) and is_script(request):
            return problem(getattr(request, "session_failure", None) or NotAuthenticated())
        return response


def user_of_session(request: Any) -> Any:
    user = auth.get_user(request)
    key = request.session.get("sign_in")
    if not user.is_authenticated or key is None:
        return user
    sign_in = get_sign_in(key)
    try:
        if sign_in is None or sign_in.user_id != user.pk:
            raise SignInEnded
        if sign_in.revoked_at is not None or sign_in.expires_at <= timezone.now():
            raise SignInEnded
        ensure_fresh(sign_in=sign_in)
    except SignInEnded as error:
        request.session_failure = error
        request.session.flush()
        return AnonymousUser()
    except ProviderUnavailable:
        request.session_failure = SignInStale()
        return AnonymousUser()
    request.sign_in = sign_in
    return user


def is_to_login(response: HttpResponse) -> bool:
    return response.status_code == 302 and response["Location"].startswith(resolve_url(settings.LOGIN_URL))


def is_script(request: HttpRequest) -> bool:
    """Tell whether a script asks, who could do nothing with a redirect to a page."""
    mode = request.headers.get("Sec-Fetch-Mode")
    if request.headers.get("X-Requested-With") == "XMLHttpRequest" or (mode and mode != "navigate"):
        return True
    return "text/html" not in request.headers.get("Accept", "text/html") and not request.accepts("text/html")


class AdminApiMiddleware:
    """Ask every REST route under /admin/ for an admin's access token: none or a bad one 401, no admin 403.

    Routes that take HTTP Basic or an API key by their own declaration check those themselves.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(
        self, request: Any, view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponse | None:
        view_class = getattr(view, "cls", None)
        if not request.path.startswith("/admin/") or not isinstance(view_class, type):
            return None
        if not issubclass(view_class, APIView) or takes_scheme(view_class, request):
            return None
        try:
            token = bearer_token(request.headers.get("Authorization", ""))
            if token is None:
                raise NotAuthenticated
            user, claims = check_access_token(token)
            if not is_admin_by_token(user=user, claims=claims):
                raise AdminRequired
        except APIException as error:
            return problem(error)
        request.checked_bearer = (user, claims)
        return None


def takes_scheme(view_class: Any, request: HttpRequest) -> bool:
    """Tell whether a view declares to check the request's own scheme, HTTP Basic or API key, itself."""
    scheme = request.headers.get("Authorization", "").partition(" ")[0].lower()
    if scheme == "basic":
        return any(issubclass(taken, BasicAuthentication) for taken in view_class.authentication_classes)
    return scheme == "api-key" and bool((getattr(view_class, "api_key_scopes", None) or {}).get(request.method))
