"""Answers outside of DRF, in middleware, with an error as DRF's handler of exceptions would."""

from typing import Any

from django.http import HttpResponse, JsonResponse
from rest_framework.settings import api_settings


def problem_of(error: Exception) -> HttpResponse:
    """Make the answer that a view would give which raised the error."""
    handler: Any = api_settings.EXCEPTION_HANDLER
    handled = handler(error, {})
    response = JsonResponse(handled.data, status=handled.status_code, content_type=handled.content_type)
    for name, value in handled.headers.items():
        response.headers.setdefault(name, value)
    return response
