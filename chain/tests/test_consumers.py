"""`/ws/chain` through the ASGI application, with real Redis and a real node."""

import asyncio
import json
import time
from typing import Any

import pytest
import redis
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator

from accounts import sockets
from chain.consumers import ChainConsumer
from chain.services import HeadListener, publish_head, publish_retraction
from chain.services.indexing import Retraction
from chain.services.publishing import replay_key
from chain.tests.factories import Ground
from config.asgi import application
from elections.models import Election

pytestmark = [pytest.mark.django_db(transaction=True)]


def block(number: int, fork: str = "a", **more: Any) -> dict[str, Any]:
    return {
        "type": "block",
        "chain_id": 31337,
        "block": number,
        "hash": "0x" + (fork + f"{number:063x}"),
        "parent_hash": "0x" + (fork + f"{number - 1:063x}"),
        "timestamp": 1_700_000_000 + number,
        "finality": "latest",
        "safe_block": 0,
        "finalized_block": 0,
        "observed_at": time.time(),
        "next_end": None,
        "block_seconds": 2.0,
    } | more


async def say(message: dict[str, Any]) -> None:
    await sync_to_async(publish_head)(chain_id=31337, message=message)


def socket(query: str = "") -> WebsocketCommunicator:
    return WebsocketCommunicator(application, f"/ws/chain{query}", headers=[(b"host", b"localhost")])


async def receive(client: WebsocketCommunicator, kind: str = "", timeout: float = 10) -> dict[str, Any]:
    """Receive the next message (of a kind)."""
    while True:
        event = await client.receive_output(timeout)
        if event["type"] == "websocket.close":
            return {"type": "closed"} | event
        message = json.loads(event["text"])
        if not kind or message["type"] == kind:
            return message


async def connected(query: str = "") -> WebsocketCommunicator:
    client = socket(query)
    is_accepted, _ = await client.connect(timeout=10)
    assert is_accepted
    return client


async def test_a_socket_gets_the_current_head_and_each_new_one() -> None:
    await say(block(7))
    client = await connected()
    assert (await receive(client))["block"] == 7
    await say(block(8, next_end={"election": "31337-aa-1", "end_block": 20}))
    message = await receive(client)
    assert (message["block"], message["remaining"], message["seconds"]) == (8, 12, 24.0)
    assert message["finality"] == "latest"
    assert message["hash"] == block(8)["hash"]
    await client.disconnect()


@pytest.mark.slow
async def test_the_lag_of_a_head_is_counted_and_that_of_a_repeat_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    lags: list[float] = []
    monkeypatch.setattr(ChainConsumer, "note_lag", lambda self, observed_at: lags.append(observed_at))
    await say(block(7))
    client = await connected()
    await receive(client)
    head = block(8)
    await say(head)
    assert (await receive(client))["block"] == 8
    assert (await receive(client))["is_repeat"]
    assert lags == [head["observed_at"]]
    await client.disconnect()


async def test_a_lost_subscription_loses_no_head(settings: Any) -> None:
    await say(block(7))
    client = await connected()
    await receive(client)
    number = redis.connection.parse_url(settings.REDIS_URL).get("db", 0)

    def cut() -> None:
        with redis.Redis.from_url(settings.REDIS_URL) as connection:
            connection.lpush(replay_key(31337), json.dumps(block(8)))
            for one in connection.client_list(_type="pubsub"):
                if int(one["db"]) == number:
                    connection.client_kill_filter(_id=one["id"])

    await sync_to_async(cut)()
    message = await receive(client)
    assert (message["block"], message.get("is_repeat")) == (8, None)
    await client.disconnect()


@pytest.mark.slow
async def test_a_silent_chain_is_repeated_within_three_seconds() -> None:
    await say(block(7))
    client = await connected()
    await receive(client)
    started = time.monotonic()
    message = await receive(client)
    assert message["is_repeat"]
    assert message["block"] == 7
    assert time.monotonic() - started > 1
    await client.disconnect()


async def test_a_reconnect_with_the_last_seen_block_loses_nothing() -> None:
    for number in range(1, 5):
        await say(block(number))
    client = await connected("?since=2")
    got = [await receive(client) for _ in range(3)]
    assert [message["block"] for message in got] == [3, 4, 4]
    await client.disconnect()


async def test_a_reconnect_across_a_reorg_gets_the_retraction() -> None:
    for number in range(1, 4):
        await say(block(number))
    await sync_to_async(publish_retraction)(Retraction(31337, 1, block(1)["hash"], 2, 5))
    await say(block(2, "b"))
    client = await connected(f"?since=3&hash={block(3)['hash']}")
    retraction, replaced = await receive(client), await receive(client)
    assert (retraction["type"], retraction["block"], retraction["blocks_taken_back"]) == ("retraction", 1, 2)
    assert replaced["hash"] == block(2, "b")["hash"]
    await client.disconnect()


async def test_remaining_is_counted_to_the_asked_election(ground: Ground, index_once: Any) -> None:
    election_id = await sync_to_async(ground.create_election)(blocks=50)
    await sync_to_async(index_once)()
    election = await sync_to_async(Election.objects.get)(election_id=election_id)
    await say(block(ground.height))
    client = await connected(f"?election={election.public_id}")
    message = await receive(client)
    assert message["election"] == election.public_id
    assert message["remaining"] == election.end_block - ground.height
    await client.disconnect()


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("?election=31337-00000000-7", 4404, "election_not_found"),
        ("?election=nonsense", 4400, "malformed_id"),
        ("?since=abc", 4400, "malformed_since"),
        ("?since=1&hash=zz", 4400, "malformed_hash"),
        ("?nothing=1", 4400, "unknown_parameter"),
    ],
)
async def test_a_bad_question_is_closed_with_a_reason(query: str, code: int, reason: str) -> None:
    client = await connected(query)
    message = await receive(client)
    assert (message["type"], message["code"]) == ("error", reason)
    assert "ErrorDetail" not in message["detail"]
    closed = await receive(client)
    assert (closed["code"], closed["reason"]) == (code, reason)
    await client.disconnect()


async def test_pings_are_answered_and_nonsense_is_named() -> None:
    client = await connected()
    await receive(client)
    await client.send_to(text_data='{"type": "ping"}')
    assert (await receive(client, "pong"))["time"]
    await client.send_to(text_data="[" * 100_000)
    assert (await receive(client, "closed"))["code"] == sockets.TOO_BIG
    await client.disconnect()


async def test_malformed_messages_are_named() -> None:
    client = await connected()
    await client.send_to(text_data="[" * 4000)
    assert (await receive(client, "error"))["code"] == "malformed"
    await client.send_to(text_data='{"type": "subscribe"}')
    assert (await receive(client, "error"))["code"] == "unknown_type"
    await client.disconnect()


@pytest.mark.slow
async def test_an_idle_client_is_closed_with_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets.HeartbeatConsumer, "idle_timeout_seconds", 0.5)
    client = await connected()
    closed = await receive(client, "closed")
    assert (closed["code"], closed["reason"]) == (sockets.IDLE, "idle")
    await client.disconnect()


@pytest.mark.slow
async def test_heartbeats_go_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets.HeartbeatConsumer, "heartbeat_seconds", 0.2)
    client = await connected()
    assert (await receive(client, "heartbeat"))["time"]
    await client.disconnect()


async def test_a_client_that_does_not_read_is_closed_as_slow() -> None:
    sent: list[dict[str, Any]] = []
    never = asyncio.Event()

    async def stuck(message: dict[str, Any]) -> None:
        sent.append(message)
        if message["type"] == "websocket.send":
            await never.wait()

    consumer = sockets.HeartbeatConsumer()
    consumer.base_send, consumer.is_open = stuck, True
    consumer.send_timeout_seconds = 0.2
    consumer.push("{}")
    while consumer.writer is not None:
        await asyncio.sleep(0.05)
    assert sent[-1] == {"type": "websocket.close", "code": sockets.SLOW_CLIENT, "reason": "slow_client"}


async def test_a_shutdown_says_when_to_come_back() -> None:
    client = await connected()
    await receive(client)
    for consumer in list(sockets.live):
        sockets.live.tell_restart(consumer)
    hint = await receive(client, "closing")
    assert 0.5 <= hint["retry_after_seconds"] <= 5
    closed = await receive(client, "closed")
    assert closed["code"] == 1012
    assert "retry_after_seconds" in closed["reason"]
    await client.disconnect()


@pytest.mark.slow
async def test_the_listener_publishes_every_block_of_the_node(ground: Ground, make_indexer: Any) -> None:
    woken = []
    listener = HeadListener(
        reader=make_indexer().reader,
        chain_id=31337,
        name="test",
        ws_url=ground.url.replace("http", "ws"),
        poll_seconds=0.3,
        on_head=lambda: woken.append(1),
    )
    client = await connected()
    listener.start()
    try:
        start = ground.height
        first = await receive(client, "block")
        while first["block"] is None or first["block"] < start:
            first = await receive(client, "block")
        await sync_to_async(ground.mine)(5)
        seen = [first["block"]]
        while seen[-1] < start + 5:
            message = await receive(client, "block")
            if not message.get("is_repeat"):
                seen.append(message["block"])
        assert seen[-5:] == list(range(start + 1, start + 6))
        assert woken
    finally:
        await sync_to_async(listener.stop)()
        await client.disconnect()


@pytest.mark.slow
async def test_a_rollback_without_a_message_is_heard_by_polling(ground: Ground, make_indexer: Any) -> None:
    listener = HeadListener(reader=make_indexer().reader, chain_id=31337, name="test", ws_url="", poll_seconds=0.1)
    await sync_to_async(ground.mine)(3)
    client = await connected()
    listener.start()
    try:
        height = ground.height
        while (await receive(client, "block"))["block"] != height:
            pass
        await sync_to_async(ground.call)("anvil_rollback", 2)
        while (await receive(client, "block"))["block"] != height - 2:
            pass
    finally:
        await sync_to_async(listener.stop)()
        await client.disconnect()


@pytest.mark.parametrize(
    ("origin", "is_accepted"), [(None, True), (b"http://localhost", True), (b"https://evil.example", False)]
)
async def test_pages_of_other_sites_are_refused(settings: Any, origin: bytes | None, is_accepted: bool) -> None:
    from channels.routing import URLRouter

    from config.asgi import BrowserOriginValidator
    from config.routing import websocket_urlpatterns

    guarded = BrowserOriginValidator(URLRouter(websocket_urlpatterns), ["localhost"])
    headers = [(b"host", b"localhost")] + ([(b"origin", origin)] if origin else [])
    client = WebsocketCommunicator(guarded, "/ws/chain", headers=headers)
    assert (await client.connect(timeout=10))[0] is is_accepted
    await client.disconnect()
