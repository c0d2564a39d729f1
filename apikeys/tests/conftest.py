import pytest
import redis

from apikeys.services import addresses, admission, bucket, key_cache, usage


@pytest.fixture(autouse=True)
def _fresh_process(settings):
    """Forget what the process remembers between requests."""
    addresses.forget_clients()
    admission._guessers.clear()
    key_cache.forget_keys()
    usage.forget_usage()
    bucket.bucket.cache_clear()
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()
    yield
    addresses.forget_clients()
    bucket.bucket.cache_clear()
    key_cache.forget_keys()
    usage.forget_usage()


@pytest.fixture
def sixty(settings):
    """The default limit of production."""
    settings.RATE_LIMIT = "60/60"
