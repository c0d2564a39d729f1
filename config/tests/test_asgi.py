"""HTTP through the ASGI entry point, as granian calls it."""

import asyncio

from config.asgi import application


async def test_a_body_is_read_where_receive_returns_a_future(transactional_db):
    """granian's `receive` is no coroutine function: a2wsgi alone would answer every request with a body by 500."""
    loop = asyncio.get_running_loop()
    sent = []

    def receive():
        future = loop.create_future()
        future.set_result({"type": "http.request", "body": b'{"refresh_token": "psr_unknown"}', "more_body": False})
        return future

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"testserver"), (b"content-type", b"application/json"), (b"content-length", b"32")]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": "/auth/refresh",
        "raw_path": b"/auth/refresh",
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("testserver", 80),
    }
    await application(scope, receive, send)
    assert sent[0]["status"] == 401
    assert b"invalid_token" in b"".join(message.get("body", b"") for message in sent)
