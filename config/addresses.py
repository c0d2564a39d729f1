"""The caller's address for limits of attempts: what trusted proxies say, as for every other limit."""

from django.http import HttpRequest

from apikeys.services import find_client


def client_address(request: HttpRequest) -> str:
    """Return the address that django-ratelimit counts by."""
    forwarded_for = request.META.get("HTTP_X_FORWARDED_FOR", "")
    client = find_client(peer=request.META.get("REMOTE_ADDR", ""), forwarded_for=forwarded_for)
    # All peers on a unix socket share one count, as they do in the bucket.
    return client.address or "127.0.0.1"
