"""REST routes of `apikeys`."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
