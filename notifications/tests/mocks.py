"""SendGrid and Twilio as real HTTP servers, speaking what their published OpenAPI documents say.

`answers` is what the next calls get, in turn; after that a message is taken. An answer is a status, a
(status, headers) pair, or one of "cut" (the connection breaks after the message was taken), "hang" (no answer
in time, the message was taken) and "lose" (the connection breaks and the message was not taken).
"""

import json
import re
import threading
import time
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

SENDGRID_KEY = "SG.test-key"
TWILIO_SID = "AC" + "0" * 32
TWILIO_TOKEN = "twilio-token"


class Mock:
    """What a provider took, and what it answers next."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.calls: list[float] = []
        self.answers: deque[Any] = deque()
        self.has_activity = True
        self.url = ""
        self.hang_seconds = 3.0
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    mock: Mock
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Keep quiet."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def answer(self, status: int, value: Any = None, headers: dict[str, str] | None = None) -> None:
        data = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def planned(self, take: Any, refuse: Any) -> bool:
        """Give the planned answer; False when there is none and the message is to be taken normally."""
        with self.mock.lock:
            self.mock.calls.append(time.monotonic())
            plan = self.mock.answers.popleft() if self.mock.answers else None
        if plan is None:
            return False
        if plan in ("cut", "hang"):
            take()
        if plan in ("cut", "lose"):
            self.close_connection = True
            self.connection.close()
        elif plan == "hang":
            time.sleep(self.mock.hang_seconds)
            self.close_connection = True
        else:
            status, headers = plan if isinstance(plan, tuple) else (plan, {})
            refuse(status, headers)
        return True


class SendGridHandler(Handler):
    def do_POST(self) -> None:
        body = self.body()
        if self.path != "/v3/mail/send":
            return self.answer(404, {"errors": [{"message": "not found", "field": None, "help": None}]})
        if self.headers.get("Authorization") != f"Bearer {SENDGRID_KEY}":
            error = {"message": "The provided authorization grant is invalid, expired, or revoked", "field": None}
            return self.answer(401, {"errors": [error | {"help": None}]})
        mail = json.loads(body)
        for name in ("personalizations", "from", "content", "subject"):
            assert mail.get(name), f"SendGrid's schema demands {name}"
        assert [part["type"] for part in mail["content"]] == ["text/plain", "text/html"]
        message_id = uuid.uuid4().hex[:22]

        def take() -> None:
            to = mail["personalizations"][0]["to"][0]["email"]
            self.mock.taken.append({"id": message_id, "to": to, "mail": mail})

        def refuse(status: int, headers: dict[str, str]) -> None:
            self.answer(status, {"errors": [{"message": f"refused {status}", "field": "x", "help": None}]}, headers)

        if self.planned(take, refuse):
            return None
        take()
        return self.answer(202, None, {"X-Message-Id": message_id})

    def do_GET(self) -> None:
        """Email Activity: `/v3/messages?limit=…&query=…`."""
        query = parse_qs(urlsplit(self.path).query)["query"][0]
        if not self.mock.has_activity:
            return self.answer(403, {"errors": [{"message": "authorization required", "field": None, "help": None}]})
        wanted = re.fullmatch(r"\(unique_args\['notification_id'\]=\"([0-9a-f-]+)\"\)", query)
        assert wanted, query
        found = [
            {
                "from_email": "noreply@localhost",
                "msg_id": f"{taken['id']}.filter001",
                "subject": taken["mail"]["subject"],
                "to_email": taken["to"],
                "status": "delivered",
                "opens_count": 0,
                "clicks_count": 0,
                "last_event_time": formatdate(),
            }
            for taken in self.mock.taken
            if taken["mail"]["custom_args"]["notification_id"] == wanted[1]
        ]
        return self.answer(200, {"messages": found[:1]})


class TwilioHandler(Handler):
    path_of_messages = f"/2010-04-01/Accounts/{TWILIO_SID}/Messages.json"

    def message(self, taken: dict[str, Any]) -> dict[str, Any]:
        names = "num_segments direction date_updated price error_message uri account_sid num_media date_created"
        empty = dict.fromkeys([*names.split(), "messaging_service_sid", "error_code", "price_unit", "api_version"])
        now = formatdate()
        values = {"sid": taken["id"], "to": taken["to"], "from": taken["from"], "body": taken["body"]}
        return {**empty, **values, "status": "queued", "date_sent": now, "date_created": now, "subresource_uris": {}}

    def do_POST(self) -> None:
        values = dict(parse_qsl(self.body().decode(), keep_blank_values=True))
        assert urlsplit(self.path).path == self.path_of_messages
        assert self.headers.get("Authorization", "").startswith("Basic ")
        assert values["To"].startswith("+")
        assert values["Body"]
        sid = "SM" + uuid.uuid4().hex

        def take() -> None:
            self.mock.taken.append(
                {"id": sid, "to": values["To"], "from": values.get("From"), "body": values["Body"], "values": values}
            )

        def refuse(status: int, headers: dict[str, str]) -> None:
            code = {400: 21211, 401: 20003, 429: 20429, 500: 20500}.get(status, status)
            more = f"https://www.twilio.com/docs/errors/{code}"
            self.answer(
                status, {"code": code, "message": f"refused {status}", "more_info": more, "status": status}, headers
            )

        if self.planned(take, refuse):
            return
        take()
        self.answer(201, self.message(self.mock.taken[-1]))

    def do_GET(self) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query))
        assert "To" in query
        assert "DateSent>" in query
        found = [self.message(taken) for taken in self.mock.taken if taken["to"] == query["To"]]
        page = {"end": 0, "first_page_uri": "", "next_page_uri": None, "page": 0, "page_size": 50}
        self.answer(200, {"messages": found, **page, "previous_page_uri": None, "start": 0, "uri": self.path})


@contextmanager
def serve(handler: type[Handler]) -> Iterator[Mock]:
    """Serve a provider on a free port until the block ends."""
    mock = Mock()
    bound = type("Bound", (handler,), {"mock": mock})
    server = ThreadingHTTPServer(("127.0.0.1", 0), bound)
    server.daemon_threads = True
    mock.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield mock
    finally:
        server.shutdown()
        server.server_close()
