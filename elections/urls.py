"""Routes of `elections`: REST and the public pages."""

from django.urls import URLPattern, path, re_path

from elections import census_views, pages, views

urlpatterns: list[URLPattern] = [
    path("", pages.board, name="board"),
    path("e/<str:id>", pages.election, name="election-page"),
    path("elections", views.ElectionListView.as_view(), name="elections"),
    path("elections/<str:id>", views.ElectionView.as_view(), name="election"),
    path("elections/<str:id>/census", census_views.CensusView.as_view(), name="census"),
    path("elections/<str:id>/census/proof", census_views.CensusProofView.as_view(), name="census-proof"),
    path("elections/<str:id>/census/close", census_views.CensusCloseView.as_view(), name="close-census"),
    path("elections/<str:id>/cancel", views.ElectionCancelView.as_view(), name="cancel-election"),
    path("elections/<str:id>/finalise", views.ElectionFinaliseView.as_view(), name="finalise-election"),
    re_path(r"^metadata/(?P<hash>0x[0-9a-f]{64})$", views.MetadataView.as_view(), name="metadata"),
]
