import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from apikeys.services.bucket import Decision, Limit, LocalBuckets, take
from apikeys.services.script import SCRIPT

# The script with its clock handed in, so that a test can choose the time.
CLOCK = "local clock = redis.call('TIME')\nlocal now = clock[1] * 1000000 + clock[2]"
TIMED_SCRIPT = SCRIPT.replace(CLOCK, "local now = tonumber(ARGV[5])")
START = 1_790_000_000_000_000
SECOND = 1_000_000


@pytest.fixture(scope="module")
def client():
    with redis.Redis.from_url(django_settings.REDIS_URL) as client:
        yield client


@pytest.fixture
def take_at(client):
    client.flushdb()

    def take_at(microseconds, *, limit=60, period=60, burst=0, cost=1, key="bucket"):
        return client.eval(TIMED_SCRIPT, 1, key, limit, period * SECOND, burst or limit, cost, START + microseconds)

    assert "TIME" not in TIMED_SCRIPT
    return take_at


def test_sixty_at_once_then_none_until_a_period_has_passed(take_at):
    assert [take_at(0)[0] for _ in range(61)] == [1] * 60 + [0]
    assert take_at(59_999_999)[0] == 0
    assert take_at(60_000_001)[0] == 1


def test_no_window_edge_lets_more_through(take_at):
    """A fixed window lets 120 through in two seconds around its edge, a refilling bucket 119 in its first minute."""
    allowed = [at for at in range(0, 180 * SECOND, 250_000) if take_at(at)[0]]
    for start in allowed:
        assert sum(start <= at < start + 60 * SECOND for at in allowed) <= 60
    assert len(allowed) >= 3 * 60 - 1


def test_a_refused_request_takes_nothing_and_names_the_time(take_at):
    for second in range(60):
        take_at(second * SECOND)
    allowed, remaining, wait, reset = take_at(59 * SECOND + 1)
    assert (allowed, remaining) == (0, 0)
    assert wait == reset == SECOND - 1
    assert take_at(59 * SECOND + 1 + wait)[0] == 1


def test_a_cost_is_taken_whole_or_not_at_all(take_at):
    assert take_at(0, cost=50)[:2] == [1, 10]
    assert take_at(1, cost=11)[:2] == [0, 10]
    assert take_at(2, cost=10)[:2] == [1, 0]
    assert take_at(3, cost=61)[0] == 0


def test_a_burst_spreads_the_limit_over_the_period(take_at):
    assert [take_at(0, burst=5)[0] for _ in range(6)] == [1] * 5 + [0]
    assert take_at(0, burst=5)[2] == SECOND
    assert take_at(SECOND, burst=5)[0] == 1
    assert take_at(SECOND, burst=5)[0] == 0


def test_a_look_takes_nothing(take_at, client):
    assert take_at(0, cost=0) == [1, 60, 0, 0]
    assert not client.exists("bucket")


def test_a_clock_that_was_set_back_does_not_lock_the_caller_out(take_at):
    for _ in range(60):
        take_at(0)
    assert take_at(-3600 * SECOND)[0] == 1


def test_a_large_limit_is_kept_in_little_memory(take_at, client):
    with client.pipeline(transaction=False) as pipe:
        for index in range(2_000):
            pipe.eval(TIMED_SCRIPT, 1, "bucket", 1_000_000, 60 * SECOND, 1_000_000, 1, START + index * 28_000)
        pipe.execute()
    assert client.llen("bucket") <= 2 * 1002
    assert take_at(56 * SECOND, limit=1_000_000)[1] == 1_000_000 - 2_001


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(1, 12),
    burst=st.integers(1, 12),
    steps=st.lists(st.tuples(st.integers(0, 4_000_000), st.integers(0, 5)), max_size=40),
)
def test_no_window_ever_holds_more_than_the_limit_and_memory_agrees(take_at, client, limit, burst, steps):
    burst = min(burst, limit)
    client.delete("bucket")
    local, rule = LocalBuckets(), Limit(limit, 10, burst)
    now, taken = 0, []
    for step, cost in steps:
        # Whole seconds and a hair, so that no comparison hangs on the script's one microsecond of grain.
        now += step // SECOND * SECOND + 10
        allowed, remaining, *_ = take_at(now, limit=limit, period=10, burst=burst, cost=cost)
        in_memory = local.take("x", rule, cost, now=(START + now) / SECOND)
        if limit in {1, 2, 4, 5, 10}:  # else the script rounds the emission interval up
            assert in_memory[0] == (allowed == 1)
        if allowed:
            taken.append((now, cost))
        assert sum(amount for at, amount in taken if at > now - 10 * SECOND) <= limit
        assert remaining >= 0


def test_sixteen_threads_get_exactly_sixty(sixty):
    with ThreadPoolExecutor(16) as pool:
        decisions = list(pool.map(lambda _: take(identity="ip:192.0.2.1"), range(500)))
    assert sum(decision.is_allowed for decision in decisions) == 60


def test_the_clock_of_this_machine_does_not_matter(sixty, monkeypatch):
    for _ in range(60):
        assert take(identity="ip:192.0.2.1").is_allowed
    moment = time.time()
    for jump in (-86_400, 86_400, 61):
        monkeypatch.setattr(time, "time", lambda jump=jump: moment + jump)
        assert not take(identity="ip:192.0.2.1").is_allowed


@pytest.mark.slow
def test_a_hundred_thousand_addresses_are_bounded_and_expire(client, sixty):
    client.flushdb()
    before = client.info("memory")["used_memory"]
    sha = client.script_load(SCRIPT)
    for start in range(0, 100_000, 5_000):
        with client.pipeline(transaction=False) as pipe:
            for index in range(start, start + 5_000):
                pipe.evalsha(sha, 1, f"psephos:limit:ip:{index}", 60, 60 * SECOND, 60, 1)
            pipe.execute()
    used = client.info("memory")["used_memory"] - before
    assert client.dbsize() == 100_000
    assert used < 40_000_000
    assert all(0 < client.pttl(f"psephos:limit:ip:{index}") <= 60_002 for index in range(0, 100_000, 997))


@pytest.mark.parametrize("text", ["", "60", "60/0", "0/60", "60/60:61", "-1/60", "60/60:x", "60 / 60", "1e3/60"])
def test_a_limit_that_does_not_parse_is_named(text):
    with pytest.raises(ImproperlyConfigured, match="RATE_LIMIT"):
        Limit.parse(text)


def test_headers_follow_the_draft():
    decision = Decision(False, Limit(60, 60, 10), 0, 7, 7)
    assert decision.headers() == {
        "RateLimit-Policy": '"default";q=60;w=60;burst=10',
        "RateLimit": '"default";r=0;t=7',
        "Retry-After": "7",
    }
