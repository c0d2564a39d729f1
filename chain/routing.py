"""WebSocket routes of `chain`."""

from django.urls import path
from django.urls.resolvers import URLPattern

from chain.consumers import ChainConsumer

websocket_urlpatterns: list[URLPattern] = [path("ws/chain", ChainConsumer.as_asgi())]
