import re

import pytest
import redis
from django.db import OperationalError
from prometheus_client import REGISTRY

from accounts.tests.factories import UserFactory, bearer
from apikeys.models import ApiKey
from apikeys.services import revoke_api_key
from apikeys.services.bucket import bucket
from apikeys.tests.factories import api_key, make_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def ten(settings):
    settings.RATE_LIMIT = "10/60"


def test_an_address_gets_its_limit_and_then_429(client, ten):
    first = client.get("/nowhere")
    assert first.status_code == 404
    assert first["RateLimit"] == '"default";r=9;t=60'
    assert first["RateLimit-Policy"] == '"default";q=10;w=60'
    statuses = [client.get("/nowhere").status_code for _ in range(10)]
    assert statuses == [404] * 9 + [429]
    refused = client.get("/nowhere", headers={"X-Request-ID": "abcdefgh-123"})
    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "rate_limited"
    assert refused.json()["request_id"] == "abcdefgh-123"
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert client.get("/nowhere", REMOTE_ADDR="192.0.2.9").status_code == 404


@pytest.mark.slow
def test_every_answer_says_what_is_left(client, ten):
    for path in ("/nowhere", "/api/schema", "/admin/login/", "/admin/api-keys"):
        assert "RateLimit" in client.get(path)


def test_a_forged_header_changes_nothing(client, ten):
    statuses = [
        client.get("/nowhere", headers={"X-Forwarded-For": f"10.0.0.{number}"}).status_code for number in range(12)
    ]
    assert statuses == [404] * 10 + [429] * 2


def test_an_ipv6_customer_is_one_caller(client, ten):
    statuses = [client.get("/nowhere", REMOTE_ADDR=f"2001:db8:1:2::{number:x}").status_code for number in range(11)]
    assert statuses == [404] * 10 + [429]
    assert client.get("/nowhere", REMOTE_ADDR="2001:db8:1:3::1").status_code == 404


def test_routes_may_have_a_bucket_of_their_own(client, settings, ten):
    settings.RATE_LIMIT_ROUTES = [
        "/readyz=3/60",
        "/healthz=none",
        "POST /nowhere=1/60",
        "/nowhere/else=default",
        "/here$=5/60",
    ]
    assert client.get("/here")["RateLimit-Policy"] == '"default";q=5;w=60'
    assert client.get("/here/deeper")["RateLimit-Policy"] == '"default";q=10;w=60'
    assert [client.get("/readyz").status_code for _ in range(4)] == [200] * 3 + [429]
    assert "RateLimit" not in client.get("/healthz")
    assert [client.post("/nowhere").status_code for _ in range(2)] == [404, 429]
    assert client.get("/nowhere/else")["RateLimit"].startswith('"default";r=8')


def test_a_query_is_charged_where_its_request_was_counted(client, settings, ten):
    settings.RATE_LIMIT_ROUTES = ["/graphql=5/60"]
    settings.GRAPHQL_COST_PER_TOKEN = 1
    query = {"query": "{ elections(first: 1) { edges { node { id title } } } }"}
    answer = client.post("/graphql", query, "application/json")
    assert answer["RateLimit-Policy"] == '"default";q=5;w=60'
    left = int(re.search(r"r=(\d+)", answer["RateLimit"])[1])
    assert left < 4
    after = client.post("/graphql", {"query": "{ __typename }"}, "application/json")
    assert after["RateLimit"].startswith(f'"default";r={max(left - 1, 0)};')
    assert client.get("/nowhere")["RateLimit"].startswith('"default";r=9;')


@pytest.mark.django_db(transaction=True)
def test_a_hot_read_and_its_304_say_what_is_left(client, ten):
    first = client.get("/elections")
    again = client.get("/elections", headers={"If-None-Match": first["ETag"]})
    assert (first.status_code, again.status_code) == (200, 304)
    assert [answer["RateLimit"].split(";")[1] for answer in (first, again)] == ["r=9", "r=8"]


def test_a_bypassed_network_is_not_limited_and_cannot_be_forged(client, settings, ten):
    settings.RATE_LIMIT_BYPASS_CIDRS = ["10.0.0.0/8", "fd00::/8"]
    for _ in range(12):
        assert client.get("/nowhere", REMOTE_ADDR="10.1.2.3").status_code == 404
        assert client.get("/nowhere", REMOTE_ADDR="fd00::1").status_code == 404
    statuses = [client.get("/nowhere", headers={"X-Forwarded-For": "10.1.2.3"}).status_code for _ in range(11)]
    assert statuses[-1] == 429


@pytest.mark.parametrize(
    "path", ["/admin/api-keys", "/api/schema", "/readyz"], ids=["REST view", "schema view", "plain view"]
)
def test_a_route_without_a_scope_accepts_no_key(client, path, settings):
    from django.urls import resolve

    view = resolve(path).func
    _, text = make_key(scopes=[])
    answer = client.get(path, headers=api_key(text))
    assert answer.status_code == 403
    expected = (
        "api_key_scope_missing" if hasattr(getattr(view, "cls", None), "api_key_scopes") else "api_key_not_accepted"
    )
    assert answer.json()["code"] == expected


def test_a_key_has_its_own_bucket_and_limit(client, ten):
    _, text = make_key(limit_per_minute=12)
    _, other = make_key()
    statuses = [client.get("/nowhere", headers=api_key(text)).status_code for _ in range(13)]
    assert statuses == [404] * 12 + [429]
    assert client.get("/nowhere", headers=api_key(other))["RateLimit-Policy"] == '"default";q=10;w=60'
    assert client.get("/nowhere").status_code == 404


def spoil(text: str, at: int) -> str:
    return text[:at] + ("x" if text[at] != "x" else "y") + text[at + 1 :]


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("Api-Key", "api_key_malformed"),
        ("Api-Key ", "api_key_malformed"),
        ("Api-Key psk_", "api_key_malformed"),
        ("api-key {truncated}", "api_key_malformed"),
        ("Api-Key {checksum}", "api_key_malformed"),
        ("Api-Key {key} {key}", "api_key_malformed"),
        ("Api-Key {key},Api-Key {key}", "api_key_malformed"),  # what WSGI makes of two headers
        ("Api-Key {key}\u00e9", "api_key_malformed"),
        ("Api-Key {other_secret}", "api_key_unknown"),
        ("Api-Key {other_id}", "api_key_unknown"),
    ],
)
def test_a_bad_key_is_refused_and_counts_for_its_address(client, ten, authorization, code):
    from apikeys.services.keys import checksum

    _, text = make_key(scopes=["admin:api-keys"])
    other_secret, other_id = spoil(text, 20), spoil(text, 5)
    header = authorization.format(
        key=text,
        truncated=text[:-1],
        checksum=spoil(text, 53),
        other_secret=other_secret[:-6] + checksum(other_secret[:-6]),
        other_id=other_id[:-6] + checksum(other_id[:-6]),
    )
    answer = client.get("/admin/api-keys", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer["RateLimit"] == '"default";r=9;t=60'
    assert "WWW-Authenticate" in answer


def test_the_hot_path_asks_no_database(client, django_assert_num_queries):
    _, text = make_key()
    client.get("/nowhere", headers=api_key(text))
    with django_assert_num_queries(0):
        client.get("/nowhere", headers=api_key(text))


def test_a_revoked_key_is_refused_within_the_cache_time(client, settings, monkeypatch):
    key, text = make_key()
    assert client.get("/nowhere", headers=api_key(text)).status_code == 404
    revoke_api_key(key_id=key.pk, actor="system:test")
    # The other processes still hold their copies: as if this one were such.
    from apikeys.services import key_cache

    moment = key_cache.time.monotonic()
    monkeypatch.setattr(key_cache.time, "monotonic", lambda: moment + 0.999)
    answer = client.get("/nowhere", headers=api_key(text))
    assert (answer.status_code, answer.json()["code"]) == (401, "api_key_revoked")


def test_an_expired_key_is_refused_even_from_the_cache(client, monkeypatch):
    from datetime import timedelta

    from django.utils import timezone

    _, text = make_key(expires_at=timezone.now() + timedelta(seconds=30))
    assert client.get("/nowhere", headers=api_key(text)).status_code == 404
    later = timezone.now() + timedelta(seconds=31)
    monkeypatch.setattr("apikeys.services.keys.timezone.now", lambda: later)
    assert client.get("/nowhere", headers=api_key(text)).json()["code"] == "api_key_expired"


def test_a_deactivated_owner_closes_the_key(client):
    user = UserFactory(role="admin")
    _, text = make_key(owner=user)
    type(user).objects.update(is_active=False)
    assert client.get("/nowhere", headers=api_key(text)).json()["code"] == "api_key_revoked"


def test_known_and_unknown_ids_take_the_same_comparison(client, monkeypatch):
    from apikeys.services import keys

    compared = []
    genuine = keys.hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda a, b: compared.append((len(a), len(b))) or genuine(a, b))
    _, text = make_key()
    unknown = spoil(text, 5)[:-6]
    wrong = spoil(text, 20)[:-6]
    for candidate in (text, unknown + keys.checksum(unknown), wrong + keys.checksum(wrong)):
        client.get("/nowhere", headers=api_key(candidate))
    assert compared == [(64, 64)] * 3


def test_guessing_keys_stops_at_the_limit_without_asking_the_database(client, ten, django_assert_num_queries):
    from apikeys.services.keys import generate_key

    for _ in range(10):
        assert client.get("/nowhere", headers=api_key(generate_key())).status_code == 401
    assert client.get("/nowhere", headers=api_key(generate_key())).status_code == 429
    with django_assert_num_queries(0):
        assert client.get("/nowhere", headers=api_key(generate_key())).status_code == 429


def test_a_key_that_cannot_be_looked_up_is_counted_and_says_so(client, ten, monkeypatch):
    from apikeys.services import key_cache

    def fail(**arguments):
        raise OperationalError("gone")

    _, text = make_key()
    monkeypatch.setattr(key_cache, "find_api_key", fail)
    answers = [client.get("/nowhere", headers=api_key(text)) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [503] * 10 + [429]
    assert answers[0].json()["code"] == "database_unavailable"
    assert answers[0]["RateLimit"] == '"default";r=9;t=60'


def test_a_connection_that_redis_closed_is_replaced_at_once(client, settings, ten):
    assert client.get("/nowhere").status_code == 404
    [ours] = bucket().script.idle
    host, port = ours._sock.getsockname()
    with redis.Redis.from_url(settings.REDIS_URL) as other:
        other.client_kill(f"{host}:{port}")
    before = REGISTRY.get_sample_value("psephos_rate_limit_redis_errors_total")
    assert client.post("/nowhere")["RateLimit"].startswith('"default";r=8;')
    assert REGISTRY.get_sample_value("psephos_rate_limit_redis_errors_total") == before


@pytest.fixture
def no_redis(settings):
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    bucket.cache_clear()


def test_without_redis_reads_go_on_counted_in_memory(client, ten, no_redis, caplog):
    before = REGISTRY.get_sample_value("psephos_rate_limit_redis_errors_total")
    statuses = [client.get("/nowhere").status_code for _ in range(12)]
    assert statuses == [404] * 10 + [429] * 2
    assert REGISTRY.get_sample_value("psephos_rate_limit_redis_errors_total") == before + 1
    assert [record.message for record in caplog.records if "Redis does not answer" in record.message]


def test_without_redis_writes_and_sign_in_are_refused(client, no_redis):
    for answer in (client.post("/nowhere"), client.get("/admin/login/"), client.get("/auth/login")):
        assert answer.status_code == 503
        assert answer.json()["code"] == "limiter_unavailable"
        assert answer["Retry-After"] == "1"


def test_a_refused_change_has_no_effect(client, ten):
    admin = UserFactory(role="admin")
    for _ in range(10):
        client.get("/nowhere")
    answer = client.post("/admin/api-keys", {"name": "x", "scopes": []}, "application/json", headers=bearer(admin))
    assert answer.status_code == 429
    assert not ApiKey.objects.exists()
