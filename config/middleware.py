"""Middleware that belongs to no app."""

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from audit.context import auditing
from config.request_id import current_request_id

ACCEPTED_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")


class RequestIdMiddleware:
    """Give each request an id: the caller's `X-Request-ID` when it is well-formed, else a new one.

    Audit entries made while the request runs carry the id, and their ids go out as `Audit-Receipt`.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        offered = request.headers.get("X-Request-ID", "")
        request_id = offered if ACCEPTED_REQUEST_ID.fullmatch(offered) else uuid.uuid4().hex
        token = current_request_id.set(request_id)
        try:
            with auditing(request_id=request_id) as context:
                response = self.get_response(request)
        finally:
            current_request_id.reset(token)
        response["X-Request-ID"] = request_id
        if context.receipts:
            response["Audit-Receipt"] = ", ".join(context.receipts)
        return response
