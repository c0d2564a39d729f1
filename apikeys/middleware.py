"""Middleware that limits every request and refuses API keys where none is declared."""

from collections.abc import Callable, Mapping
from functools import lru_cache

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from rest_framework.exceptions import APIException

from accounts.problems import problem_of
from apikeys.services import admit, check_scope, count_request, keep_running

LONGEST_KEPT_PATH = 200


class RateLimitMiddleware:
    """Take a token for each request, answer 429 when there is none, and say what is left on every answer.

    Sets `request.admission`. A view accepts API keys only for the methods in its `api_key_scopes`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        meta = request.META
        admission = admit(
            method=request.method or "",
            path=request.path_info,
            authorization=meta.get("HTTP_AUTHORIZATION", ""),
            peer=meta.get("REMOTE_ADDR", ""),
            forwarded_for=meta.get("HTTP_X_FORWARDED_FOR", ""),
        )
        request.admission = admission  # type: ignore[attr-defined]
        try:
            if admission.decision is not None:
                admission.decision.raise_refusal()
            if admission.refusal is not None:
                raise admission.refusal
            if admission.key is not None:
                # Here and not in `process_view`, so that it stands before everything that answers early.
                is_found, _, scopes = route_of(request.path_info)
                if is_found:
                    check_scope(admission.key, scopes=scopes, method=request.method or "")
        except (APIException, OperationalError, InterfaceError) as error:
            response = problem_of(error, request)
            if not admission.is_allowed:
                response._has_been_logged = True  # type: ignore[attr-defined]  # a flood is a metric, not a log
        else:
            response = self.get_response(request)
        if admission.decision is not None:
            for name, value in admission.decision.headers().items():
                response.headers[name] = value
        if admission.key is not None:
            keep_running()
            _, route, _ = route_of(request.path_info)
            count_request(key_id=admission.key.pk, route=f"{request.method} /{route}", status=response.status_code)
        return response


def route_of(path: str) -> tuple[bool, str, Mapping[str, str] | None]:
    """Say whether a path has a route, which, and the scopes that its view declares; the 404 is left to Django."""
    find = find_route if len(path) <= LONGEST_KEPT_PATH else find_route.__wrapped__
    return find(path, settings.ROOT_URLCONF)


@lru_cache(maxsize=4096)
def find_route(path: str, urlconf: str) -> tuple[bool, str, Mapping[str, str] | None]:
    # To resolve a path costs more than all the rest of the limiter.
    try:
        match = resolve(path, urlconf)
    except Resolver404:
        return False, "", None
    view = match.func
    declared = getattr(view, "cls", None) or getattr(view, "view_class", None) or view
    return True, match.route, getattr(declared, "api_key_scopes", None)
