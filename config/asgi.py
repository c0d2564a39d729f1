"""ASGI entry point: WebSockets, and HTTP handed to WSGI where both share one port.

Django's own ASGI handler is several times slower for plain HTTP than WSGI (docs/adr), hence a2wsgi.
"""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")

from config.wsgi import application as wsgi_application  # noqa: I001  (settings must be set up before the consumers load)

from a2wsgi import WSGIMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator

from config.routing import websocket_urlpatterns

application = ProtocolTypeRouter(
    {
        "http": WSGIMiddleware(wsgi_application, workers=8),  # type: ignore[arg-type]
        "websocket": AllowedHostsOriginValidator(URLRouter(websocket_urlpatterns)),
    }
)
