import pytest

from apikeys.exceptions import ApiKeyMalformed, ApiKeyNotAccepted, ApiKeyUnknown, RateLimited
from apikeys.services import admit_socket
from apikeys.services.keys import generate_key
from apikeys.tests.factories import make_key

pytestmark = pytest.mark.django_db


def scope(authorization="", client=("192.0.2.1", 5000), headers=()):
    headers = [*headers, *([(b"authorization", authorization.encode())] if authorization else [])]
    return {"type": "websocket", "path": "/ws/chain", "client": client, "headers": headers}


def test_connects_count_with_the_callers_requests(client, settings):
    settings.RATE_LIMIT = "3/60"
    client.get("/nowhere", REMOTE_ADDR="192.0.2.1")
    admit_socket(scope())
    admit_socket(scope())
    with pytest.raises(RateLimited):
        admit_socket(scope())
    admit_socket(scope(client=("192.0.2.2", 5000)))


def test_sockets_take_no_key():
    _, text = make_key()
    with pytest.raises(ApiKeyNotAccepted):
        admit_socket(scope(f"Api-Key {text}"))
    with pytest.raises(ApiKeyUnknown):
        admit_socket(scope(f"Api-Key {generate_key()}"))


def test_doubled_headers_are_read_as_one(settings):
    _, text = make_key()
    with pytest.raises(ApiKeyMalformed):
        admit_socket(scope(f"Api-Key {text}", headers=[(b"authorization", f"Api-Key {text}".encode())]))
    settings.RATE_LIMIT = "1/60"
    settings.TRUSTED_PROXY_CIDRS = ["10.0.0.0/8"]
    proxied = [(b"x-forwarded-for", b"203.0.113.1"), (b"x-forwarded-for", b"10.0.0.2")]
    admit_socket(scope(client=("10.0.0.1", 5000), headers=proxied))
    with pytest.raises(RateLimited):
        admit_socket(scope(client=("203.0.113.1", 5000)))
