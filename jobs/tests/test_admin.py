"""Staff look at jobs; administrators cancel them."""

import pytest
from django.urls import reverse

from accounts.tests.factories import UserFactory
from jobs.models import JobStatus, JobStep
from jobs.services import start
from jobs.tests.factories import job_type

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_jobs_are_shown_without_their_input_and_cannot_be_changed(client, role):
    client.force_login(UserFactory(role=role))
    with job_type():
        job = start(type="tests.noop", input={"private": "value-7f3a"})
    JobStep.objects.create(job=job, name="sent", result={})
    assert client.get(reverse("admin:jobs_job_changelist")).status_code == 200
    change = reverse("admin:jobs_job_change", args=[job.pk])
    page = client.get(change)
    assert page.status_code == 200
    assert b"value-7f3a" not in page.content
    assert client.post(change, {}).status_code == 403


def test_admins_cancel_and_viewers_do_not(client):
    with job_type():
        job = start(type="tests.noop", input={})
    address = reverse("admin:jobs_job_changelist")
    body = {"action": "cancel_jobs", "_selected_action": [str(job.pk)], "confirmed": "yes"}
    client.force_login(UserFactory(role="viewer"))
    client.post(address, body)
    job.refresh_from_db()
    assert job.status == JobStatus.QUEUED
    client.force_login(UserFactory(role="admin"))
    client.post(address, body)
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED
