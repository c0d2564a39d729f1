"""/ws/elections through the whole ASGI application."""

import json
from urllib.parse import urlsplit

import pytest
import redis
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator

from config.asgi import application
from elections import consumers, hub, services
from elections.hub import get_hub
from elections.tests import factories as make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _forget(monkeypatch) -> None:
    monkeypatch.setattr(consumers, "REMEMBERED_SECONDS", 0)


async def connect(query: str = "") -> WebsocketCommunicator:
    headers = [(b"origin", b"http://testserver"), (b"host", b"testserver")]
    socket = WebsocketCommunicator(application, f"/ws/elections{query}", headers=headers)
    is_open, _ = await socket.connect(timeout=10)
    assert is_open
    return socket


async def receive(socket: WebsocketCommunicator) -> dict:
    return json.loads(await socket.receive_from(timeout=10))


async def act(function, *args, **kwargs):
    return await database_sync_to_async(function)(*args, **kwargs)


def publish(*events) -> None:
    services.publish_changes(services.apply_events(events=events))


async def test_a_change_is_pushed_with_its_election() -> None:
    await act(make.election, 1, head=20)
    socket = await connect()
    hello = await receive(socket)
    assert hello["type"] == "hello"
    await act(publish, make.vote(choice=2))
    message = await receive(socket)
    assert (message["type"], message["id"], message["reasons"]) == ("election", "31337-5fbdb231-1", ["votes"])
    assert (message["finality"], message["revision"] > hello["revision"]) == ("latest", True)
    assert message["election"]["tally"][2]["votes"] == 1
    await socket.disconnect()


async def test_a_reorg_is_pushed_as_a_retraction() -> None:
    await act(make.election, 1, make.vote(), head=20)
    socket = await connect()
    await receive(socket)

    def retract(events: list) -> None:
        services.publish_changes(
            services.refold(chain_id=make.CHAIN_ID, contract=make.CONTRACT, events_by_election={1: events})
        )

    await act(retract, [make.created(1)])
    message = await receive(socket)
    assert (message["type"], message["election"]["turnout"]) == ("retraction", 0)
    await act(retract, [])
    message = await receive(socket)
    assert (message["type"], message["is_withdrawn"], message["election"]) == ("retraction", True, None)
    await socket.disconnect()


async def test_a_subscriber_of_one_election_hears_of_no_other() -> None:
    await act(make.election, 1, head=20)
    await act(make.election, 2)
    socket = await connect("?election=31337-5fbdb231-2")
    await receive(socket)
    await act(publish, make.vote(1), make.vote(2))
    assert (await receive(socket))["id"] == "31337-5fbdb231-2"
    assert await socket.receive_nothing()
    await socket.disconnect()


async def test_a_reconnect_with_the_last_revision_loses_nothing() -> None:
    await act(make.election, 1, head=20)
    socket = await connect()
    seen = (await receive(socket))["revision"]
    await socket.disconnect()
    await act(publish, make.vote(1), make.created(2, log_index=5))
    socket = await connect(f"?since={seen}")
    messages = [await receive(socket) for _ in range(3)]
    assert [message.get("id") for message in messages] == [None, "31337-5fbdb231-1", "31337-5fbdb231-2"]
    await socket.disconnect()


async def test_after_too_many_changes_the_client_is_told_to_read_again() -> None:
    socket = await connect("?since=0")
    await receive(socket)
    await act(publish, *[make.created(number, log_index=number) for number in range(1, 202)])
    assert (await receive(socket))["type"] == "many_changed"
    await socket.disconnect()
    socket = await connect("?since=0")
    await receive(socket)
    assert (await receive(socket))["type"] == "many_changed"
    await socket.disconnect()


async def test_a_storm_of_reconnects_asks_the_database_once(monkeypatch) -> None:
    monkeypatch.setattr(consumers, "REMEMBERED_SECONDS", 30)
    asked = []
    monkeypatch.setattr(consumers, "missed", lambda since: asked.append(since) or [("", '{"type":"many_changed"}')])
    sockets = [await connect("?since=7") for _ in range(20)]
    for socket in sockets:
        assert [(await receive(socket))["type"] for _ in range(2)] == ["hello", "many_changed"]
        await socket.disconnect()
    assert asked == [7]


async def test_what_is_remembered_is_not_older_than_what_was_pushed(monkeypatch) -> None:
    monkeypatch.setattr(consumers, "REMEMBERED_SECONDS", 30)
    await act(make.election, 1, head=20)
    first = await connect()
    before = (await receive(first))["revision"]
    await act(publish, make.vote())
    await receive(first)
    second = await connect()
    assert (await receive(second))["revision"] > before
    await first.disconnect()
    await second.disconnect()


def cut_subscriptions(url: str) -> int:
    """Close the connections that subscribe in this Redis number, as a restart does."""
    number = urlsplit(url).path.strip("/") or "0"
    with redis.Redis.from_url(url) as client:
        ids = [one["id"] for one in client.client_list(_type="pubsub") if one["db"] == number]
        for one in ids:
            client.client_kill_filter(_id=one)
    return len(ids)


@pytest.mark.slow
async def test_a_lost_subscription_loses_nothing(settings) -> None:
    await act(make.election, 1, head=20)
    await act(make.election, 2)
    every, one = await connect(), await connect("?election=31337-5fbdb231-2")
    before = (await receive(every))["revision"]
    await receive(one)
    # Committed, and never published.
    await act(services.apply_events, events=[make.vote(1), make.vote(2)])
    assert await act(cut_subscriptions, settings.REDIS_URL)
    messages = [await receive(every), await receive(every)]
    assert [message["id"] for message in messages] == ["31337-5fbdb231-1", "31337-5fbdb231-2"]
    assert all(message["reasons"] == ["missed"] and message["revision"] > before for message in messages)
    assert (await receive(one))["id"] == "31337-5fbdb231-2"
    # And it goes on.
    await act(publish, make.vote(1, 0, at=21))
    assert (await receive(every))["reasons"] == ["votes"]
    await every.disconnect()
    await one.disconnect()


async def test_a_socket_that_came_without_redis_catches_up(settings) -> None:
    await act(make.election, 1, head=20)
    url = settings.REDIS_URL
    settings.REDIS_URL = urlsplit(url)._replace(netloc="127.0.0.1:1").geturl()
    socket = await connect()
    before = (await receive(socket))["revision"]
    await act(services.apply_events, events=[make.vote()])
    settings.REDIS_URL = url
    message = await receive(socket)
    assert message["reasons"] == ["missed"]
    assert message["revision"] > before
    await socket.disconnect()


async def test_after_a_long_loss_the_clients_are_told_to_read_again(settings, monkeypatch) -> None:
    monkeypatch.setattr(hub, "MAX_MISSED", 1)
    await act(make.election, 1, head=20)
    socket = await connect("?election=31337-5fbdb231-1")
    await receive(socket)
    await act(services.apply_events, events=[make.vote(1), make.created(2, log_index=5)])
    await act(cut_subscriptions, settings.REDIS_URL)
    assert (await receive(socket))["type"] == "many_changed"
    await socket.disconnect()


async def test_what_is_pushed_before_the_greeting_comes_after_it(monkeypatch) -> None:
    await act(make.election, 1, head=20)
    ask = consumers.ask

    async def ask_slowly(since):
        answer = await ask(since)
        get_hub().push([["", '{"type":"many_changed"}']], None)
        return answer

    monkeypatch.setattr(consumers, "ask", ask_slowly)
    socket = await connect()
    assert [(await receive(socket))["type"] for _ in range(2)] == ["hello", "many_changed"]
    await socket.disconnect()


async def test_the_lag_of_a_push_is_counted(monkeypatch) -> None:
    lags = []
    monkeypatch.setattr(consumers.ElectionsConsumer, "note_lag", lambda self, published_at: lags.append(published_at))
    await act(make.election, 1, head=20)
    socket = await connect()
    await receive(socket)
    await act(publish, make.vote())
    await receive(socket)
    assert len(lags) == 1
    await socket.disconnect()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?election=31337-5fbdb231-9", "election_not_found"),
        ("?election=x", "malformed_election"),
        ("?since=-1", "malformed_since"),
        ("?since=²", "malformed_since"),
        ("?colour=red", "unknown_parameter"),
    ],
)
async def test_a_bad_parameter_is_refused_with_a_reason(query: str, code: str) -> None:
    socket = await connect(query)
    message = await receive(socket)
    assert (message["type"], message["code"]) == ("error", code)
    closed = await socket.receive_output(timeout=10)
    assert closed["type"] == "websocket.close"
    assert closed["reason"] == code
