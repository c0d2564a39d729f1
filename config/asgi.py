"""ASGI entry point: WebSockets, and HTTP handed to WSGI where both share one port.

Django's own ASGI handler is several times slower for plain HTTP than WSGI (docs/adr), hence a2wsgi.
"""

import asyncio
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

from config.wsgi import application as wsgi_application  # noqa: I001  (settings must be set up before the consumers load)

from a2wsgi import WSGIMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings
from django.urls import re_path

from accounts.sockets import UnknownSocket
from config.routing import websocket_urlpatterns

BODY_SECONDS = 30
wsgi_in_threads = WSGIMiddleware(wsgi_application, workers=8)  # type: ignore[arg-type]


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Hand a request to WSGI when its body is there: a client that sends slowly holds none of the threads.

    Of a body that is too large, so much is handed on that the application sees it. A client that goes away, or is too
    slow, leaves no effect: half a body is never taken for a whole one.
    """
    body = bytearray()
    has_more = True
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while has_more and len(body) <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                body += message.get("body", b"")
                has_more = message.get("more_body", False)
    except TimeoutError:
        headers = [(b"connection", b"close"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 408, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
        return

    async def receive_whole() -> Any:
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    # For WSGI `X_Forwarded_For` would be the same header as `X-Forwarded-For`, and the client's, not the proxy's.
    scope["headers"] = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    await wsgi_in_threads(scope, receive_whole, send)


class BrowserOriginValidator(OriginValidator):
    """Refuse other sites' pages. What sends no Origin is no browser: no page misuses its cookies."""

    def valid_origin(self, parsed_origin: Any) -> bool:
        return parsed_origin is None or super().valid_origin(parsed_origin)


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": BrowserOriginValidator(
            URLRouter([*websocket_urlpatterns, re_path("", UnknownSocket.as_asgi())]), settings.ALLOWED_HOSTS
        ),
    }
)
