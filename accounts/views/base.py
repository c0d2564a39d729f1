"""What the doors of `accounts` share: public views that still challenge, and limits of attempts."""

from typing import Any

from django.http import HttpRequest
from django_ratelimit.core import is_ratelimited
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.authentication import CHALLENGE
from accounts.exceptions import TooManyAttempts


class PublicView(APIView):
    """A view that asks for no credentials, and whose refusals are 401 with a challenge all the same."""

    authentication_classes: Any = ()
    permission_classes = (AllowAny,)

    def get_authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def limit(request: HttpRequest, *, group: str, rate: str, key: Any = "ip") -> None:
    """Count an attempt and raise TooManyAttempts past the rate (a fixed window: up to twice at its edge)."""
    if is_ratelimited(request, group=f"accounts.{group}", key=key, rate=rate, increment=True):
        raise TooManyAttempts
