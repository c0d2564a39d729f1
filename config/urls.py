"""Routes of all apps."""

from csp.decorators import csp_update
from django.contrib import admin
from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView

from config.graphql.graphiql import graphiql, graphiql_asset
from config.graphql.views import graphql
from config.metrics import metrics
from config.views import healthz, nothing, readyz

# Swagger UI and ReDoc write styles while they run, and ReDoc searches in a worker made of a blob; scripts stay ours.
with_readers_styles = csp_update({"style-src": ["'self'", "'unsafe-inline'"], "worker-src": ["'self'", "blob:"]})

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("api/schema", SpectacularAPIView.as_view(versioning_class=None), name="schema"),
    path("api/docs", with_readers_styles(SpectacularSwaggerSplitView.as_view(url_name="schema")), name="docs"),
    path("api/redoc", with_readers_styles(SpectacularRedocView.as_view(url_name="schema")), name="redoc"),
    path("graphql", graphql, name="graphql"),
    path("graphiql", graphiql, name="graphiql"),
    path("graphiql/<str:name>", graphiql_asset, name="graphiql-asset"),
    path("", include("accounts.urls")),
    path("", include("apikeys.urls")),
    path("", include("jobs.urls")),
    path("", include("audit.urls")),
    path("", include("notifications.urls")),
    path("", include("zk.urls")),
    path("", include("elections.urls")),
    path("", include("chain.urls")),
    # The Django admin would send a client of the API with a malformed id to its sign-in page.
    re_path(r"^admin/(?:users|api-keys|metrics)/", nothing),
    path("admin/", admin.site.urls),
]

handler400 = "config.problems.bad_request"
handler403 = "config.problems.permission_denied"
handler404 = "config.problems.not_found"
handler500 = "config.problems.server_error"
