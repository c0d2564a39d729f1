import pytest
from channels.testing import HttpCommunicator, WebsocketCommunicator

from config.asgi import application

pytestmark = pytest.mark.django_db(transaction=True)


async def is_accepted(*headers):
    communicator = WebsocketCommunicator(application, "/ws/elections", headers=list(headers))
    is_connected, _ = await communicator.connect(timeout=10)
    if is_connected:
        await communicator.disconnect()
    return is_connected


async def test_a_client_that_is_no_browser_may_connect():
    assert await is_accepted()


async def test_our_own_pages_may_connect(settings):
    assert await is_accepted((b"origin", b"http://localhost:8000"), (b"host", b"localhost:8000"))


async def test_other_sites_pages_may_not(monkeypatch):
    validator = application.application_mapping["websocket"]
    monkeypatch.setattr(validator, "allowed_origins", ["elections.example"])
    assert not await is_accepted((b"origin", b"https://evil.example"))
    assert await is_accepted((b"origin", b"https://elections.example"))


@pytest.mark.parametrize(("forged", "is_limited"), [(b"x_forwarded_for", True), (b"x-forwarded-for", False)])
async def test_an_underscore_does_not_pass_for_the_proxys_dash(settings, forged, is_limited):
    settings.TRUSTED_PROXY_CIDRS = ["10.1.0.0/16"]
    settings.RATE_LIMIT_BYPASS_CIDRS = ["10.2.0.0/16"]
    headers = [(b"host", b"localhost"), (b"x-forwarded-for", b"203.0.113.5"), (forged, b"10.2.0.1")]
    communicator = HttpCommunicator(application, "GET", "/nowhere", headers=headers)
    communicator.scope |= {"client": ("10.1.0.1", 5000), "server": ("localhost", 80), "root_path": ""}
    answer = await communicator.get_response(timeout=30)
    assert (b"ratelimit" in dict(answer["headers"])) == is_limited
