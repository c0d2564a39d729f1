"""Reads JSON bodies within bounds."""

import codecs
import json
import re
from collections.abc import Mapping
from typing import IO, Any

from django.conf import settings
from rest_framework import parsers, status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.utils.json import strict_constant

MAX_DEPTH = 64
# A string without its end is a token too, and nothing is tried twice: else time grows with the square of the quotes.
TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{\]}]', re.DOTALL)


class BodyTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "body_too_large"
    default_detail = "The request's body is too large."


class JSONParser(parsers.JSONParser):
    """DRF's, with bounds on size and depth: its own reads any size, and deep nesting ends in a 500 or worse."""

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        body = stream.read(limit + 1)
        if len(body) > limit:
            raise BodyTooLarge
        encoding = (parser_context or {}).get("encoding", settings.DEFAULT_CHARSET)
        try:
            text = codecs.decode(body, encoding)
        except (ValueError, LookupError):
            raise ParseError("The body is not text in its declared encoding.") from None
        if is_deep(text):
            raise ParseError(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
        try:
            return json.loads(text, parse_constant=strict_constant)
        except (ValueError, RecursionError) as error:
            raise ParseError(f"The body is not JSON: {error}") from None


def is_deep(text: str) -> bool:
    """Tell whether a text nests brackets outside of strings deeper than MAX_DEPTH."""
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for token in TOKEN.finditer(text):
        first = token.group()[0]
        if first in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                return True
        elif first in "]}":
            depth -= 1
    return False
