"""Middleware that limits every request and refuses API keys where none is declared."""

import json
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from rest_framework.exceptions import APIException
from rest_framework.settings import api_settings

from apikeys.services import Admission, admit, check_scope, count_request


def problem_of(error: APIException) -> HttpResponse:
    """Answer with an error as DRF would: through the project's exception handler."""
    handler: Any = api_settings.EXCEPTION_HANDLER
    handled = handler(error, {})
    response = HttpResponse(json.dumps(handled.data), status=handled.status_code, content_type=handled.content_type)
    for name, value in handled.headers.items():
        response.headers.setdefault(name, value)
    return response


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
        if admission.decision is not None and not admission.decision.is_allowed:
            response = self.refuse(admission)
        elif admission.refusal is not None:
            response = problem_of(admission.refusal)
        else:
            response = self.get_response(request)
        if admission.decision is not None:
            for name, value in admission.decision.headers().items():
                response.headers[name] = value
        if admission.key is not None:
            route = getattr(request.resolver_match, "route", "") if request.resolver_match else ""
            count_request(key_id=admission.key.pk, route=f"{request.method} /{route}", status=response.status_code)
        return response

    def refuse(self, admission: Admission) -> HttpResponse:
        assert admission.decision is not None
        try:
            admission.decision.raise_refusal()
        except APIException as error:
            response = problem_of(error)
            response._has_been_logged = True  # type: ignore[attr-defined]  # a flood is a metric, not a log
            return response
        raise AssertionError("an allowed request is not refused")

    def process_view(
        self, request: HttpRequest, view: Callable[..., Any], args: Any, kwargs: Any
    ) -> HttpResponse | None:
        admission: Admission = request.admission  # type: ignore[attr-defined]
        if admission.key is None:
            return None
        declared = getattr(view, "cls", None) or getattr(view, "view_class", None) or view
        try:
            check_scope(admission.key, scopes=getattr(declared, "api_key_scopes", None), method=request.method or "")
        except APIException as error:
            return problem_of(error)
        return None
