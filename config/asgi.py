"""ASGI entry point: WebSockets, and HTTP handed to WSGI where both share one port.

Django's own ASGI handler is several times slower for plain HTTP than WSGI (docs/adr), hence a2wsgi.
"""

import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

from config.wsgi import application as wsgi_application  # noqa: I001  (settings must be set up before the consumers load)

from a2wsgi import WSGIMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import OriginValidator
from django.conf import settings

from config.routing import websocket_urlpatterns

wsgi_in_threads = WSGIMiddleware(wsgi_application, workers=8)  # type: ignore[arg-type]


async def http(scope: Any, receive: Any, send: Any) -> None:
    """Hand HTTP to WSGI; granian's `receive` returns a future, and a2wsgi reads bodies by a coroutine alone."""

    async def receive_by_coroutine() -> Any:
        return await receive()

    await wsgi_in_threads(scope, receive_by_coroutine, send)


class BrowserOriginValidator(OriginValidator):
    """Refuse other sites' pages. What sends no Origin is no browser: no page misuses its cookies."""

    def valid_origin(self, parsed_origin: Any) -> bool:
        return parsed_origin is None or super().valid_origin(parsed_origin)


application = ProtocolTypeRouter(
    {
        "http": http,
        "websocket": BrowserOriginValidator(URLRouter(websocket_urlpatterns), settings.ALLOWED_HOSTS),
    }
)
