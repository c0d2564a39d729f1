"""WebSocket routes of all apps."""

from chain.routing import websocket_urlpatterns as chain_routes
from elections.routing import websocket_urlpatterns as elections_routes
from jobs.routing import websocket_urlpatterns as jobs_routes

websocket_urlpatterns = [*chain_routes, *elections_routes, *jobs_routes]
