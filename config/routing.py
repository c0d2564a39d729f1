"""WebSocket routes of all apps."""

from django.urls.resolvers import URLPattern

websocket_urlpatterns: list[URLPattern] = []
