"""REST routes of `zk`."""

from django.urls import path

from zk.views import ArtifactView, CircuitsView, ProofsView, ProofView, VerificationView

urlpatterns = [
    path("api/zk", CircuitsView.as_view(), name="zk-circuits"),
    path("api/zk/<str:circuit>", ProofsView.as_view(), name="zk-proofs"),
    path("api/zk/<str:circuit>/verify", VerificationView.as_view(), name="zk-verify"),
    path("api/zk/<str:circuit>/<uuid:job>", ProofView.as_view(), name="zk-proof"),
    path("api/zk/<str:circuit>/<int:version>/<str:file>", ArtifactView.as_view(), name="zk-artifact"),
]
