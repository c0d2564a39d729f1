"""Follows a channel of Redis for a whole process, and says when messages may have been missed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio
from django.conf import settings
from redis.connection import parse_url

logger = logging.getLogger(__name__)


def channel_name(name: str) -> str:
    """Return the name of this installation's Redis channel.

    Redis' channels do not belong to one of its numbered databases; an installation has its own all the same.
    """
    return f"psephos:{name}:db{parse_url(settings.REDIS_URL).get('db', 0)}"


async def follow(
    channel: str,
    *,
    subscribed: Callable[[Any], Awaitable[None]],
    take: Callable[[bytes], None],
    lost: Callable[[], None],
) -> None:
    """Give each message of a channel to `take`, until cancelled.

    `subscribed` gets a Redis client each time that the channel has been subscribed to, and before any message of that
    subscription: it catches up with what came before. `lost` is called when Redis is away; it is tried again.
    """
    pause = 0.2
    while True:
        try:
            async with (
                redis.asyncio.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=2) as client,
                client.pubsub() as pubsub,
            ):
                await pubsub.subscribe(channel)
                async for raw in pubsub.listen():
                    # The client may reconnect by itself: only Redis' confirmation tells of every new subscription.
                    if raw["type"] == "subscribe":
                        await subscribed(client)
                        pause = 0.2
                    elif raw["type"] == "message":
                        take(raw["data"])
                        # The sockets write what they were given before they are given more.
                        await asyncio.sleep(0)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.warning("the hub lost Redis", extra={"kind": type(error).__name__, "channel": channel})
        lost()
        await asyncio.sleep(pause)
        pause = min(pause * 2, 5.0)
