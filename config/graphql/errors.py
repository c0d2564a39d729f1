"""Errors of GraphQL: REST's `code` in `extensions`, and nothing from inside."""

import logging
from collections.abc import Iterable
from typing import Any

from graphql import GraphQLError
from rest_framework import exceptions

from config.problems import field_errors
from config.request_id import current_request_id

logger = logging.getLogger(__name__)


class RequestRefused(Exception):
    """A request that is not executed at all: answered with a 4xx status and no data."""

    def __init__(
        self, code: str, detail: str, *, status: int = 400, graphql_errors: Iterable[GraphQLError] = ()
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.status = status
        self.graphql_errors = list(graphql_errors)

    def errors(self) -> list[dict[str, Any]]:
        """Write the reasons as the members of `errors`."""
        extensions = {"code": self.code, "status": self.status, "request_id": current_request_id.get()}
        if not self.graphql_errors:
            return [{"message": self.detail, "extensions": extensions}]
        return [located(error) | {"extensions": extensions} for error in self.graphql_errors]


def located(error: GraphQLError) -> dict[str, Any]:
    written: dict[str, Any] = {"message": error.message}
    if error.locations:
        written["locations"] = [{"line": place.line, "column": place.column} for place in error.locations]
    if error.path:
        written["path"] = error.path
    return written


def formatted(error: GraphQLError) -> dict[str, Any]:
    """Write an error of execution: an APIException's code, status and members; anything else is an internal error."""
    cause = error.original_error
    extensions: dict[str, Any] = {"code": "invalid", "status": 400}
    written = located(error)
    if isinstance(cause, exceptions.APIException):
        status = cause.status_code
        if isinstance(cause, exceptions.ValidationError):
            written["message"] = "The request is not valid; see `errors`."
            extensions = {"code": "invalid", "status": status, "errors": field_errors(cause.detail)}
        else:
            code = cause.detail.code if isinstance(cause.detail, exceptions.ErrorDetail) else cause.default_code
            written["message"] = str(cause.detail)
            extensions = {"code": code, "status": status} | dict(getattr(cause, "extra", {}))
    elif cause is not None and not isinstance(cause, GraphQLError):
        logger.error("unhandled exception in a resolver", exc_info=cause)
        written["message"] = "Something went wrong on our side."
        extensions = {"code": "internal_error", "status": 500}
    return written | {"extensions": extensions | {"request_id": current_request_id.get()}}


def problem_errors(error: exceptions.APIException) -> list[dict[str, Any]]:
    """Write what stopped a request before it was executed."""
    return [formatted(GraphQLError(str(error.detail), original_error=error))]
