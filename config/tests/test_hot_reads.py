"""The short way of hot reads: as limited, counted and guarded as the long one."""

import json

import pytest
from django.http import HttpResponse
from django.test import Client
from prometheus_client import REGISTRY

from apikeys.tests.factories import api_key, make_key
from config.graphql.plans import persisted_documents, plans
from config.graphql.views import hot_answers
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


# GraphQL: the first request with a body goes the long way, which checks it; the next ones with its bytes the short.

QUERY = "query ($first: Int) { elections(first: $first) { edges { node { id turnout } } } }"
BODY = json.dumps({"query": QUERY, "variables": {"first": 5}})


@pytest.fixture
def _forgotten():
    plans.kept.clear()
    hot_answers.clear()


def post(client: Client, content_type: str = "application/json", **headers: str) -> HttpResponse:
    return client.post("/graphql", BODY, content_type, headers=headers)


def ask_by_id(client: Client) -> HttpResponse:
    query_id = next(key for key, text in persisted_documents().items() if text.startswith("query Elections("))
    return client.get("/graphql", {"id": query_id, "variables": '{"first": 3}'})


@pytest.mark.usefixtures("_forgotten")
@pytest.mark.parametrize("ask", [post, ask_by_id])
def test_both_ways_of_a_query_give_the_same_and_are_counted_alike(client: Client, ask) -> None:
    make.election(1, head=20)
    answers, counts = [], []
    method = "POST" if ask is post else "GET"
    for _ in range(2):
        before = graphql_counts(method)
        answers.append(ask(client))
        counts.append([now - then for then, now in zip(before, graphql_counts(method), strict=True)])
    long, short = answers
    assert json.loads(short.content)["data"]["elections"]["edges"][0]["node"]["id"] == "31337-5fbdb231-1"
    assert (short.status_code, short.content) == (long.status_code, long.content)
    assert {n: v for n, v in short.headers.items() if n not in OWN} == {
        n: v for n, v in long.headers.items() if n not in OWN
    }
    assert short["Content-Security-Policy"].startswith("default-src 'none'")
    assert counts[0] == counts[1]
    assert counts[0][:3] == [1, 1, 1]


def graphql_counts(method: str) -> list[float]:
    return [
        counted("django_http_requests_total_by_method_total", method=method),
        counted("django_http_responses_total_by_status_view_method_total", status="200", view="graphql", method=method),
        counted("django_http_requests_latency_seconds_by_view_method_count", view="graphql", method=method),
        counted("django_http_requests_body_total_bytes_sum"),
        counted("django_http_responses_body_total_bytes_sum"),
    ]


@pytest.mark.usefixtures("_forgotten")
def test_a_kept_answer_is_for_exactly_what_was_checked(client: Client, settings) -> None:
    make.election(1, head=20)
    post(client)
    _, text = make_key(scopes=["elections:read"])
    refused = {
        post(client, "text/plain"): 415,
        post(client, "application/json; charset=utf-16"): 415,
        post(client, **{"Content-Encoding": "gzip"}): 415,
        post(client, Authorization="Bearer x"): 401,
        post(client, **api_key(text)): 403,
        client.put("/graphql", BODY, "application/json"): 405,
        client.post("/graphql", BODY.replace("id turnout", "id secret"), "application/json"): 400,
    }
    assert [answer.status_code for answer in refused] == list(refused.values())
    assert post(client, **{"Accept-Encoding": "gzip"})["Content-Encoding"] == "gzip"
    settings.GRAPHQL_MAX_BODY_BYTES = len(BODY) - 1  # the view refuses by the length, whatever is kept
    plans.kept.clear()
    assert post(client).status_code == 413


@pytest.mark.usefixtures("_forgotten")
def test_a_kept_answer_costs_its_points(client: Client, settings) -> None:
    settings.RATE_LIMIT = "10/60"
    settings.GRAPHQL_COST_PER_TOKEN = 10  # 1 + 5 × 4 = 21 points: 3 tokens
    make.election(1, head=20)
    answers = [post(client) for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 3 + [429] * 4
    assert int(answers[-1]["Retry-After"]) > 0
