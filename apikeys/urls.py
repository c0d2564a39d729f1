"""REST routes of `apikeys`."""

from django.urls import URLPattern, path

from apikeys import views

urlpatterns: list[URLPattern] = [
    path("admin/api-keys", views.ApiKeyListView.as_view(), name="api-keys"),
    path("admin/api-keys/<uuid:key_id>", views.ApiKeyView.as_view(), name="api-key"),
    path("admin/api-keys/<uuid:key_id>/rotate", views.ApiKeyRotationView.as_view(), name="api-key-rotation"),
    path("admin/api-keys/<uuid:key_id>/usage", views.ApiKeyUsageView.as_view(), name="api-key-usage"),
]
