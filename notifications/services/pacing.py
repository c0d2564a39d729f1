"""Holds each provider to its rate, over all workers, and lets it rest when it asks for that."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.cache import cache
from redis import Redis

from notifications.models import Channel

# A slot every `interval` milliseconds of Redis's own clock; returns how long the caller must wait for its own.
TAKE_SLOT = """
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local next = tonumber(redis.call('GET', KEYS[1]) or ms)
if next < ms then next = ms end
local wait = next - ms
if wait > tonumber(ARGV[2]) then return -1 end
redis.call('SET', KEYS[1], next + tonumber(ARGV[1]), 'PX', 60000)
return wait
"""
MAX_WAIT_MILLISECONDS = 5000
GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@contextmanager
def one_of_the_senders(seconds: float) -> Iterator[bool]:
    """Be one of NOTIFICATIONS_SENDERS for the block, or yield False: a long backlog may not take every worker.

    The place of a killed sender is free again a minute after it would have ended.
    """
    token = uuid.uuid4().hex
    with Redis.from_url(settings.REDIS_URL) as client:
        names = [f"psephos:notifications:sender:{number}" for number in range(settings.NOTIFICATIONS_SENDERS)]
        mine = next((name for name in names if client.set(name, token, nx=True, ex=round(seconds) + 60)), "")
        try:
            yield bool(mine)
        finally:
            if mine:
                client.eval(GIVE_BACK, 1, mine, token)


def wait_for_slot(channel: str) -> bool:
    """Wait until the channel's provider may be called; False when that is more than five seconds off."""
    if seconds_to_rest(channel) > 0:
        return False
    per_second = (
        settings.NOTIFICATIONS_EMAILS_PER_SECOND if channel == Channel.EMAIL else settings.NOTIFICATIONS_SMS_PER_SECOND
    )
    with Redis.from_url(settings.REDIS_URL) as client:
        interval = round(1000 / per_second)
        wait = int(client.eval(TAKE_SLOT, 1, f"psephos:notifications:slot:{channel}", interval, MAX_WAIT_MILLISECONDS))
    if wait < 0:
        return False
    time.sleep(wait / 1000)
    return True


def rest(channel: str, seconds: float) -> None:
    """Call the channel's provider no more for so long: it asked for that by Retry-After."""
    cache.set(f"notifications:rest:{channel}", time.time() + seconds, max(1, round(seconds) + 1))


def seconds_to_rest(channel: str) -> float:
    """Say for how long the channel's provider still rests."""
    until: float = cache.get(f"notifications:rest:{channel}") or 0
    return max(0.0, until - time.time())
