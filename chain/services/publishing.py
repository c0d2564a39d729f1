"""Sends heads and retractions to the sockets, through Redis."""

import functools
from typing import Any

import orjson
import redis
from django.conf import settings

from accounts.pubsub import channel_name
from chain import metrics
from chain.services.indexing import Retraction

CHANNEL = "chain"
# Heads kept for clients that come back: some minutes of a fast chain, an hour of a slow one.
REPLAY_HEADS = 512


def channel_of(chain_id: int) -> str:
    return channel_name(f"{CHANNEL}:{chain_id}")


def replay_key(chain_id: int) -> str:
    """Return the name of the list of recent messages, newest first."""
    return f"psephos:{CHANNEL}:{chain_id}:recent"


@functools.cache
def client_of(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2)


def publish(chain_id: int, message: dict[str, Any]) -> None:
    """Append a message to the replay list and send it to every process with sockets."""
    text = orjson.dumps(message)
    with client_of(settings.REDIS_URL).pipeline(transaction=True) as pipeline:
        pipeline.lpush(replay_key(chain_id), text)
        pipeline.ltrim(replay_key(chain_id), 0, REPLAY_HEADS - 1)
        pipeline.publish(channel_of(chain_id), text)
        pipeline.execute()


# One listener of several publishes; another takes over when it has been silent for so long.
publishing_lock_seconds = 3.0
CLAIM = """
local holder = redis.call('get', KEYS[1])
if not holder or holder == ARGV[1] then
  redis.call('set', KEYS[1], ARGV[1], 'px', ARGV[2])
  return 1
end
return 0
"""


def claim_publishing(*, chain_id: int, name: str) -> bool:
    """Become, or stay, the listener that publishes; return False while another one is."""
    key = f"psephos:{CHANNEL}:{chain_id}:listener"
    milliseconds = int(publishing_lock_seconds * 1000)
    return bool(client_of(settings.REDIS_URL).eval(CLAIM, 1, key, name, milliseconds))


def publish_retraction(retraction: Retraction) -> None:
    """Tell the sockets which blocks a reorg took back."""
    publish(
        retraction.chain_id,
        {
            "type": "retraction",
            "chain_id": retraction.chain_id,
            "block": retraction.ancestor,
            "hash": retraction.ancestor_hash,
            "blocks_taken_back": retraction.taken_back,
            "logs_taken_back": retraction.logs,
            "finality": "latest",
        },
    )


def publish_head(*, chain_id: int, message: dict[str, Any]) -> None:
    """Send a new head to the sockets."""
    publish(chain_id, message)
    metrics.heads_published.labels(chain_id).inc()
