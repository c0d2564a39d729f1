"""What `make bench-http` measures Psephos against: the least that a bare server and a bare Django can do."""

import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

# Of the size of `/elections` with 100 rows, as gzip leaves it.
BODY = json.dumps([{"id": number, "status": "open"} for number in range(60)]).encode()


async def bare_asgi(
    scope: MutableMapping[str, Any],
    receive: Callable[[], Awaitable[Any]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    """Answer without any framework."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] != "lifespan.shutdown":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": BODY})


def bare_django() -> Any:
    """Django's WSGI handler with one view and no middleware."""
    import django
    from django.conf import settings

    settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, SECRET_KEY="bench", MIDDLEWARE=[])
    django.setup()
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler()


def urls() -> list[Any]:
    from django.http import HttpResponse
    from django.urls import re_path

    return [re_path("", lambda request: HttpResponse(BODY, content_type="application/json"))]


if os.environ.get("BENCH_PROBE") == "django":
    urlpatterns = urls()
    django_application = bare_django()
