"""HTTP to providers: TLS, no redirects, bounded size, and one deadline over the whole exchange."""

import http.client
import json
import logging
import socket
import ssl
import threading
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlencode, urlsplit

from django.conf import settings

from accounts.exceptions import ProviderUnavailable, SignInRefused

LARGEST_ANSWER = 262_144
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    status: int
    content_type: str
    body: bytes

    def json_object(self) -> dict[str, Any]:
        """Return the body as a JSON object; refuse everything else."""
        try:
            parsed = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise SignInRefused("provider_answer_invalid", "The provider's answer is not JSON.") from error
        if not isinstance(parsed, dict):
            raise SignInRefused("provider_answer_invalid", "The provider's answer is not a JSON object.")
        return parsed


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_url(url: Any) -> str:
    """Refuse an address of a provider that is not https (or http on loopback, where settings allow it)."""
    parts = urlsplit(url) if isinstance(url, str) else None
    if parts is not None and parts.hostname and not parts.username and not parts.fragment:
        if parts.scheme == "https":
            return str(url)
        if parts.scheme == "http" and settings.OIDC_ALLOW_HTTP_ON_LOOPBACK and is_loopback(parts.hostname):
            return str(url)
    raise SignInRefused("provider_address_refused", "An address of the provider is not https.")


@lru_cache(maxsize=1)
def tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def call_provider(
    method: str, url: str, *, headers: dict[str, str] | None = None, form: dict[str, str] | None = None
) -> Answer:
    """Make one request; raise ProviderUnavailable where the provider fails or is slower than the deadline.

    A read timeout alone would let a provider that drips bytes hold a worker for hours: a watchdog shuts the
    socket when OIDC_TIMEOUT_SECONDS have passed. Redirects are not followed.
    """
    parts = urlsplit(check_url(url))
    seconds: float = settings.OIDC_TIMEOUT_SECONDS
    host, path = str(parts.hostname), (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=tls_context())
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=seconds)
    body = urlencode(form).encode() if form is not None else None
    sent = {"Accept": "application/json", "User-Agent": "psephos", **(headers or {})}
    if body is not None:
        sent["Content-Type"] = "application/x-www-form-urlencoded"
    is_late = threading.Event()
    watchdog: threading.Timer | None = None
    try:
        connection.connect()
        watchdog = threading.Timer(seconds, shut, [connection.sock, is_late])
        watchdog.daemon = True
        watchdog.start()
        connection.request(method, path, body=body, headers=sent)
        response = connection.getresponse()
        content = response.read(LARGEST_ANSWER + 1)
        # A connection that was shut may look like a short but whole answer.
        if is_late.is_set() or (response.length and len(content) <= LARGEST_ANSWER):
            raise http.client.IncompleteRead(content)
    except (OSError, http.client.HTTPException, ValueError) as error:
        logger.warning("provider does not answer", extra={"host": host, "error": type(error).__name__})
        raise ProviderUnavailable from error
    finally:
        if watchdog is not None:
            watchdog.cancel()
        connection.close()
    if len(content) > LARGEST_ANSWER:
        raise SignInRefused("provider_answer_too_long", "The provider's answer is too long.")
    if response.status >= 500 or response.status == 429:
        logger.warning("provider fails", extra={"host": host, "status": response.status})
        raise ProviderUnavailable
    return Answer(response.status, response.headers.get_content_type(), content)


def shut(sock: socket.socket, is_late: threading.Event) -> None:
    is_late.set()
    try:
        sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        # It ended by itself a moment before.
        logger.debug("socket was closed already")
