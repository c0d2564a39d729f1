"""GraphiQL for `make run`: its page and its assets, all from node_modules; no other environment has it."""

from pathlib import Path

from csp.decorators import csp_update
from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render

HERE = Path(__file__).parent
MODULES = HERE.parent.parent / "node_modules"
ASSETS = {
    "react.js": MODULES / "react" / "umd" / "react.production.min.js",
    "react-dom.js": MODULES / "react-dom" / "umd" / "react-dom.production.min.js",
    "graphiql.js": MODULES / "graphiql" / "graphiql.min.js",
    "graphiql.css": MODULES / "graphiql" / "graphiql.min.css",
    "start.js": HERE / "graphiql.js",
}
TYPES = {".js": "text/javascript", ".css": "text/css"}


# CodeMirror writes styles while it runs, and the stylesheet holds its fonts.
@csp_update({"style-src": ["'self'", "'unsafe-inline'"], "font-src": ["'self'", "data:"]})
def graphiql(request: HttpRequest) -> HttpResponse:
    """Show GraphiQL."""
    if not settings.GRAPHIQL:
        raise Http404
    return render(request, "graphiql.html")


def graphiql_asset(request: HttpRequest, name: str) -> HttpResponseBase:
    """Send one of GraphiQL's files."""
    if not settings.GRAPHIQL or name not in ASSETS or not ASSETS[name].exists():
        raise Http404
    return FileResponse(ASSETS[name].open("rb"), content_type=TYPES[ASSETS[name].suffix])
