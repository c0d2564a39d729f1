"""The short way of hot reads: as limited, counted and guarded as the long one."""

import pytest
from django.test import Client
from prometheus_client import REGISTRY

from elections.tests import factories as make

pytestmark = pytest.mark.django_db
LONG = {"Accept": "application/json, */*;q=0.5"}
OWN = {"Allow", "Content-Security-Policy", "X-Request-ID", "RateLimit", "Vary"}


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0


@pytest.mark.parametrize("address", ["/elections", "/elections/31337-5fbdb231-1", "/elections?status=open"])
def test_both_ways_give_the_same_body_and_headers(client: Client, address: str) -> None:
    make.election(1, head=20)
    short, long = client.get(address), client.get(address, headers=LONG)
    assert short.content == long.content
    assert set(long.headers) - set(short.headers) == {"Allow"}
    assert {n: v for n, v in short.headers.items() if n not in OWN} == {
        n: v for n, v in long.headers.items() if n not in OWN
    }
    assert short["X-Content-Type-Options"] == "nosniff"
    assert "RateLimit-Policy" in short


def test_both_ways_are_counted_alike(client: Client) -> None:
    make.election(1, head=20)
    for headers in ({}, LONG):
        before = [
            counted("django_http_requests_total_by_method_total", method="GET"),
            counted("django_http_responses_total_by_status_total", status="200"),
            counted("django_http_requests_latency_seconds_by_view_method_count", view="elections", method="GET"),
            counted("django_http_requests_before_middlewares_total"),
        ]
        client.get("/elections", headers=headers)
        after = [
            counted("django_http_requests_total_by_method_total", method="GET"),
            counted("django_http_responses_total_by_status_total", status="200"),
            counted("django_http_requests_latency_seconds_by_view_method_count", view="elections", method="GET"),
            counted("django_http_requests_before_middlewares_total"),
        ]
        assert [now - then for then, now in zip(before, after, strict=True)] == [1, 1, 1, 1], headers


def test_the_limit_holds_on_the_short_way(client: Client, settings) -> None:
    settings.RATE_LIMIT = "3/60"
    make.election(1, head=20)
    assert [client.get("/elections").status_code for _ in range(5)] == [200, 200, 200, 429, 429]
