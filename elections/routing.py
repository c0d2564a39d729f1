"""WebSocket routes of `elections`."""

from django.urls import path
from django.urls.resolvers import URLPattern

from elections.consumers import ElectionsConsumer

websocket_urlpatterns: list[URLPattern] = [path("ws/elections", ElectionsConsumer.as_asgi())]
