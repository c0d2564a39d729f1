"""Middleware that answers the hot reads before sessions, CSRF, CSP and DRF (docs/adr/0006).

Limits, request ids, audit context and Django's security middleware stand outside of it and apply to these answers;
what stands inside has nothing to do for a public JSON body.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.urls import ResolverMatch, resolve
from django_prometheus.middleware import PrometheusAfterMiddleware
from django_prometheus.utils import Time

from elections.views import read_hot

# As the middleware inside would set them; a body that is no page needs no more of the policy.
HEADERS = {"X-Frame-Options": "DENY", "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'"}


class HotReadsMiddleware:
    """Answer from kept bodies where that can be done; pass everything else on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        # Counts these requests under their views' names, as it does all others at the end of the chain.
        self.metrics = PrometheusAfterMiddleware(get_response)
        self.matches: dict[bool, ResolverMatch] = {}

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if not request.path_info.startswith("/elections"):
            return self.get_response(request)
        started = Time()
        response = read_hot(request)
        if response is None:
            return self.get_response(request)
        self.metrics.process_request(request)
        request.prometheus_after_middleware_event = started  # type: ignore[attr-defined]
        request.resolver_match = self.match_of(request)
        self.metrics.process_view(request, request.resolver_match.func)
        for name, value in HEADERS.items():
            response.headers[name] = value
        return self.metrics.process_response(request, response)

    def match_of(self, request: HttpRequest) -> ResolverMatch:
        """Resolve each of the two routes once."""
        is_list = request.path_info == "/elections"
        if is_list not in self.matches:
            self.matches[is_list] = resolve(request.path_info)
        return self.matches[is_list]
