"""REST routes of `audit`."""

from django.urls import URLPattern, path

from audit.views import CheckpointView, EntriesView, KeyView, ProofView, TileView

urlpatterns: list[URLPattern] = [
    path("audit/checkpoint", CheckpointView.as_view(), name="audit-checkpoint"),
    path("audit/key", KeyView.as_view(), name="audit-key"),
    path("audit/tile/<str:level>/<path:path>", TileView.as_view(), name="audit-tile"),
    path("audit/proof", ProofView.as_view(), name="audit-proof"),
    path("audit/entries", EntriesView.as_view(), name="audit-entries"),
]
