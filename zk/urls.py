"""REST routes of `zk`."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
