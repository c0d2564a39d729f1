"""Errors as RFC 9457 problem details with a stable `code` and the request id.

An app raises a DRF `APIException` whose `default_code` is the public code; nothing of any other
exception reaches a client.
"""

import logging
import sys
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler, set_rollback

from accounts.exceptions import DatabaseGone, DatabaseUnavailable
from accounts.problems import CONTENT_TYPE, answer
from config.parsers import BodyTooLarge
from config.request_id import current_request_id

logger = logging.getLogger(__name__)

NOT_UNDERSTOOD = "The request could not be understood."


def problem_body(*, status: int, code: str, detail: str, errors: list[dict[str, str]] | None = None) -> dict[str, Any]:
    """Build the members of one problem; `errors` names each offending field by a JSON pointer."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": current_request_id.get(),
    }
    if errors:
        body["errors"] = errors
    return body


def field_errors(detail: Any, pointer: str = "") -> list[dict[str, str]]:
    """Flatten DRF's nested error details into a list of `{pointer, code, detail}`."""
    if isinstance(detail, dict):
        found = []
        for name, value in detail.items():
            here = pointer if name == "non_field_errors" else f"{pointer}/{name}"
            found += field_errors(value, here)
        return found
    if isinstance(detail, list):
        if all(isinstance(item, exceptions.ErrorDetail) for item in detail):
            return [{"pointer": pointer, "code": item.code, "detail": str(item)} for item in detail]
        return [error for index, item in enumerate(detail) for error in field_errors(item, f"{pointer}/{index}")]
    return [{"pointer": pointer, "code": getattr(detail, "code", "invalid"), "detail": str(detail)}]


def problem_exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Turn what a view raised into a problem; what is not foreseen becomes a bare 500."""
    if isinstance(exc, Http404):
        exc = exceptions.NotFound()
    elif isinstance(exc, PermissionDenied):
        exc = exceptions.PermissionDenied()
    elif isinstance(exc, RequestDataTooBig):
        # Raised where something before the parser has looked into the body.
        exc = BodyTooLarge()
    elif isinstance(exc, SuspiciousOperation):
        # Too many parameters, for instance; outside of DRF, Django leads it to `bad_request`.
        exc = exceptions.ParseError(NOT_UNDERSTOOD, code="bad_request")
    elif isinstance(exc, DatabaseGone):
        logger.error("the database does not answer: %s", type(exc.__cause__ or exc).__name__)
        set_rollback()
        exc = DatabaseUnavailable()
    if not isinstance(exc, exceptions.APIException):
        logger.exception("unhandled exception")
        set_rollback()
        body = problem_body(status=500, code="internal_error", detail="Something went wrong on our side.")
        return Response(body, status=500, content_type=CONTENT_TYPE)

    response = exception_handler(exc, context)
    assert response is not None
    if isinstance(exc, exceptions.ValidationError):
        errors = field_errors(exc.detail)
        body = problem_body(
            status=exc.status_code, code="invalid", detail="The request is not valid; see `errors`.", errors=errors
        )
    else:
        code = getattr(exc.detail, "code", None) or exc.default_code
        body = problem_body(status=exc.status_code, code=code, detail=str(exc.detail))
    body |= getattr(exc, "extra", {})
    response.data = body
    response.content_type = CONTENT_TYPE
    return response


def problem_response(*, status: int, code: str, detail: str) -> JsonResponse:
    """Answer with a problem outside of DRF (middleware, Django's own error views)."""
    body = problem_body(status=status, code=code, detail=detail)
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE)


def problem_page(request: HttpRequest, *, status: int, code: str, detail: str) -> HttpResponse:
    """Answer with a problem, or, to who would rather read HTML, with a page that says the same."""
    return answer(problem_body(status=status, code=code, detail=detail), request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem_page(request, status=400, code="bad_request", detail=NOT_UNDERSTOOD)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem_page(request, status=403, code="permission_denied", detail="You may not do this.")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Refuse a form that came without its token; Django's own page tells a reader about DEBUG."""
    detail = "The form has expired, or cookies are blocked. Open its page again, and send it from there."
    return problem_page(request, status=403, code="csrf_failed", detail=detail)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return problem_page(request, status=404, code="not_found", detail="There is nothing at this address.")


def server_error(request: HttpRequest) -> HttpResponse:
    error = sys.exc_info()[1]
    if isinstance(error, DatabaseGone):
        logger.error("the database does not answer: %s", type(error.__cause__ or error).__name__)
        gone = DatabaseUnavailable()
        response = problem_page(request, status=gone.status_code, code=gone.default_code, detail=str(gone.detail))
        response["Retry-After"] = str(gone.wait)
        return response
    return problem_page(request, status=500, code="internal_error", detail="Something went wrong on our side.")
