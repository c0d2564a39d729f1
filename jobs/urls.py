"""REST routes of `jobs`."""

from django.urls import path

from jobs.views import JobListView, JobStartView, JobTypeListView, JobView

urlpatterns = [
    path("jobs", JobListView.as_view(), name="jobs"),
    path("jobs/types", JobTypeListView.as_view(), name="job-types"),
    path("jobs/<uuid:job_id>", JobView.as_view(), name="job"),
    path("jobs/<str:type>", JobStartView.as_view(), name="start-job"),
]
