"""Answers outside of DRF, in middleware, with an error as DRF's handler of exceptions would."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers
from rest_framework.settings import api_settings

CONTENT_TYPE = "application/problem+json"


def problem_of(error: Exception, request: HttpRequest | None = None) -> HttpResponse:
    """Make the answer that a view would give which raised the error, as a page where the request prefers one."""
    handler: Any = api_settings.EXCEPTION_HANDLER
    handled = handler(error, {})
    response = answer(handled.data, request)
    for name, value in handled.headers.items():
        response.headers.setdefault(name, value)
    return response


def answer(problem: Mapping[str, Any], request: HttpRequest | None = None) -> HttpResponse:
    """Answer with a problem or, to who would rather read HTML, with a page that says the same."""
    if request is None:
        return JsonResponse(problem, status=problem["status"], content_type=CONTENT_TYPE)
    if not prefers_page(request):
        response: HttpResponse = JsonResponse(problem, status=problem["status"], content_type=CONTENT_TYPE)
    else:
        # Without the request: no context processor may ask the database, which may be what failed.
        response = HttpResponse(render_to_string("accounts/problem.html", dict(problem)), status=problem["status"])
    patch_vary_headers(response, ["Accept"])
    return response


def prefers_page(request: HttpRequest) -> bool:
    # Most do not name it, and a flood of them costs nothing more.
    if "text/html" not in request.META.get("HTTP_ACCEPT", ""):
        return False
    return request.get_preferred_type([CONTENT_TYPE, "application/json", "text/html"]) == "text/html"
