"""Middleware that answers the hot reads before sessions, CSRF, CSP and DRF (docs/adr/0006).

Limits, request ids, audit context and Django's security middleware stand outside of it and apply to these answers;
what stands inside has nothing to do for a public JSON body.
"""

from collections.abc import Callable
from functools import lru_cache

from django.http import HttpRequest, HttpResponse
from django.urls import resolve
from django_prometheus.middleware import Metrics
from django_prometheus.utils import Time, TimeSince

from config.graphql.views import answer_hot
from elections.views import read_hot

# As the middleware inside would set them; a body that is no page needs no more of the policy.
HEADERS = {"X-Frame-Options": "DENY", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}


class HotReadsMiddleware:
    """Answer from kept bodies where that can be done; pass everything else on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        path = request.path_info
        if path == "/graphql":
            read, address = answer_hot, path
        elif path.startswith("/elections"):
            read, address = read_hot, "/elections" if path == "/elections" else "/elections/any"
        else:
            return self.get_response(request)
        started = Time()
        response = read(request)
        if response is None:
            return self.get_response(request)
        for name, value in HEADERS.items():
            response.headers[name] = value
        counters = counters_of(address, request.method or "", response.status_code, request.is_secure())
        sent = len(request.body) if request.method == "POST" else 0
        counters.count(sent, len(response.content), TimeSince(started))
        return response


class Counters:
    """What PrometheusAfterMiddleware, at the end of the chain, counts for a request, with its labels bound once.

    Looking the labels up costs more than all the rest of a hot read.
    """

    def __init__(self, view: str, method: str, status: int, transport: str) -> None:
        metrics = Metrics.get_instance()
        self.counted = [
            metrics.requests_by_method.labels(method=method),
            metrics.requests_by_transport.labels(transport=transport),
            metrics.requests_by_view_transport_method.labels(view=view, transport=transport, method=method),
            metrics.responses_by_status.labels(status=str(status)),
            metrics.responses_by_status_view_method.labels(status=str(status), view=view, method=method),
            metrics.responses_by_charset.labels(charset="utf-8"),
        ]
        self.requests_body_bytes = metrics.requests_body_bytes
        self.responses_body_bytes = metrics.responses_body_bytes
        self.latency = metrics.requests_latency_by_view_method.labels(view=view, method=method)

    def count(self, request_bytes: int, response_bytes: int, seconds: float) -> None:
        for counter in self.counted:
            counter.inc()
        self.requests_body_bytes.observe(request_bytes)
        self.responses_body_bytes.observe(response_bytes)
        self.latency.observe(seconds)


@lru_cache(maxsize=32)
def counters_of(address: str, method: str, status: int, is_secure: bool) -> Counters:
    return Counters(resolve(address).view_name, method, status, "https" if is_secure else "http")
