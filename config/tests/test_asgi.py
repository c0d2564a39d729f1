import pytest
from channels.testing import WebsocketCommunicator

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
