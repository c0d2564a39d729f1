"""The REST door: who may, what comes back, and that a refusal changes nothing."""

import threading
import uuid
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client

from accounts.models import Role
from accounts.permissions import IsAdmin, IsSignedIn
from accounts.tests.factories import UserFactory, bearer
from audit.models import Entry
from jobs.exceptions import QueueFull
from jobs.models import Job, JobStatus
from jobs.services import enqueue, start
from jobs.services.inputs import sealed_name
from jobs.services.running import claim
from jobs.tests.factories import job_type
from jobs.tests.inline import run_queued_jobs

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0}, "note": {"type": "string"}},
    "required": ["n"],
    "additionalProperties": False,
}


@pytest.fixture
def citizen_type():
    with job_type("tests.open", permission=IsSignedIn, input_schema=SCHEMA) as made:
        yield made


def post(client: Client, user: Any, body: Any = None, type: str = "tests.open", **headers: str):  # noqa: A002
    headers |= bearer(user) if user else {}
    return client.post(f"/jobs/{type}", {"n": 1} if body is None else body, "application/json", headers=headers)


@pytest.mark.django_db
def test_a_started_job_answers_202_with_its_address_and_runs(client, citizen_type, django_capture_on_commit_callbacks):
    user = UserFactory()
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        response = post(client, user)
    assert response.status_code == 202
    job = response.json()
    assert response["Location"] == f"/jobs/{job['id']}"
    assert job["status"] == "queued"
    assert any(getattr(callback, "func", None) is enqueue for callback in callbacks)
    entry = Entry.objects.get()
    assert (entry.action, entry.actor, entry.target) == ("jobs.job.started", f"user:{user.pk}", f"job:{job['id']}")

    run_queued_jobs()
    shown = client.get(response["Location"], headers=bearer(user)).json()
    assert shown["status"] == "succeeded"
    assert shown["result"] == {"echo": {"n": 1}}
    assert shown["attempts"] == 1
    assert shown["started_at"] <= shown["finished_at"]


@pytest.mark.django_db
def test_permissions_hold_and_refusals_have_no_effect(client, citizen_type):
    user = UserFactory()
    with job_type("tests.admins", permission=IsAdmin), job_type("tests.internal"):
        assert post(client, None).status_code == 401
        assert post(client, user, type="tests.admins").status_code == 403
        for name in ("tests.internal", "tests.unknown"):
            response = post(client, user, type=name)
            assert (response.status_code, response.json()["code"]) == (404, "unknown_job_type")
    assert not Job.objects.exists()
    assert not Entry.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, ""),
        ({"n": "1"}, "/n"),
        ({"n": -1}, "/n"),
        ({"n": 1, "other": 2}, ""),
        ({"n": 1, "note": "a\x00b"}, ""),
        ([1], ""),
        ('"text"', ""),
    ],
)
def test_an_input_that_breaks_the_schema_is_named_and_not_queued(client, citizen_type, body, pointer):
    response = post(client, UserFactory(), body)
    assert response.status_code == 400, response.content
    assert response.json()["code"] == "invalid"
    assert response.json()["errors"][0]["pointer"] == pointer
    assert not Job.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "text",
    [
        '{"n": NaN}',
        '{"n": 1, "note": "\\ud800"}',
        '{"n": 1e999}',
        '{"n": ' + "[" * 500 + "]" * 500 + "}",
        '{"n": ' + "[" * 100_000 + "]" * 100_000 + "}",
        "{",
        "",
    ],
    ids=["nan", "surrogate", "infinity", "deep", "very deep", "broken", "empty"],
)
def test_json_that_cannot_be_kept_is_refused(client, citizen_type, text):
    response = client.post("/jobs/tests.open", text, "application/json", headers=bearer(UserFactory()))
    assert response.status_code == 400, response.content
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_a_large_input_is_refused(client):
    with job_type("tests.open", permission=IsSignedIn, max_input_bytes=100):
        response = post(client, UserFactory(), {"note": "x" * 200})
    assert (response.status_code, response.json()["code"]) == (413, "input_too_large")
    assert not Job.objects.exists()


@pytest.mark.django_db
def test_an_idempotency_key_gives_back_the_first_job(client, citizen_type):
    user, other = UserFactory(), UserFactory()
    key = {"Idempotency-Key": "k-1"}
    first = post(client, user, **key)
    again = post(client, user, **key)
    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    assert again["Idempotency-Replayed"] == "true"
    assert post(client, other, **key).json()["id"] != first.json()["id"]
    changed = post(client, user, {"n": 2}, **key)
    assert (changed.status_code, changed.json()["code"]) == (422, "idempotency_key_reused")
    bad = post(client, user, **{"Idempotency-Key": "x" * 201})
    assert (bad.status_code, bad.json()["code"]) == (400, "idempotency_key_invalid")
    assert Job.objects.count() == 2
    assert Entry.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_many_requests_with_one_key_at_once_make_one_job():
    user = UserFactory()
    made: list[object] = []
    barrier = threading.Barrier(8)

    def begin() -> None:
        barrier.wait()
        try:
            made.append(start(type="tests.noop", input={}, owner=user, idempotency_key="same").pk)
        finally:
            connection.close()

    with job_type():
        threads = [threading.Thread(target=begin) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(made) == 8
    assert set(made) == {Job.objects.get().pk}


@pytest.mark.django_db
def test_the_systems_keys_are_unique_too():
    with job_type():
        first = start(type="tests.noop", input={}, idempotency_key="daily-1")
        assert start(type="tests.noop", input={}, idempotency_key="daily-1").pk == first.pk


@pytest.mark.django_db
def test_a_full_queue_answers_503_with_retry_after_but_takes_the_systems_jobs(client, citizen_type, settings):
    settings.JOBS_QUEUE_LIMIT = 2
    user = UserFactory()
    assert post(client, user).status_code == post(client, user).status_code == 202
    response = post(client, user)
    assert (response.status_code, response.json()["code"]) == (503, "queue_full")
    assert response["Retry-After"] == "10"
    assert Job.objects.count() == 2
    with pytest.raises(QueueFull):
        start(type="tests.open", input={"n": 1}, owner=user)
    assert start(type="tests.open", input={"n": 1})
    with job_type("tests.elsewhere", permission=IsSignedIn, queue="chain"):
        assert post(client, user, type="tests.elsewhere").status_code == 202


@pytest.mark.django_db
def test_an_owner_sees_their_own_admins_all_unknown_and_foreign_are_404(client, citizen_type):
    owner, other, admin = UserFactory(), UserFactory(), UserFactory(role=Role.ADMIN)
    viewer = UserFactory(role=Role.VIEWER)
    address = post(client, owner)["Location"]
    assert client.get(address).status_code == 401
    assert client.get(address, headers=bearer(owner)).status_code == 200
    assert client.get(address, headers=bearer(admin)).status_code == 200
    foreign = client.get(address, headers=bearer(other))
    unknown = client.get(f"/jobs/{uuid.uuid4()}", headers=bearer(other))
    assert foreign.status_code == unknown.status_code == 404
    assert {**foreign.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}
    assert client.get(address, headers=bearer(viewer)).status_code == 404
    assert client.delete(address, headers=bearer(other)).status_code == 404
    assert Job.objects.get().status == JobStatus.QUEUED


@pytest.mark.django_db
def test_the_list_is_paged_filtered_and_costs_the_same_for_many(client, citizen_type, django_assert_max_num_queries):
    owner, other, admin = UserFactory(), UserFactory(), UserFactory(role=Role.ADMIN)
    for number in range(12):
        start(type="tests.open", input={"n": number}, owner=owner)
    start(type="tests.open", input={"n": 1}, owner=other)
    Job.objects.filter(input={"n": 3}).update(status="succeeded", finished_at="2026-01-01T00:00:00Z")
    headers = bearer(owner)
    with django_assert_max_num_queries(3):
        page = client.get("/jobs?page_size=10", headers=headers).json()
    assert len(page["results"]) == 10
    assert len(client.get(page["next"], headers=headers).json()["results"]) == 2
    assert len(client.get("/jobs?status=succeeded", headers=headers).json()["results"]) == 1
    assert client.get("/jobs?status=lost", headers=headers).status_code == 400
    assert client.get("/jobs?cursor=zzz", headers=headers).status_code in (400, 404)
    assert len(client.get("/jobs", headers=bearer(admin)).json()["results"]) == 13
    assert client.get("/jobs").status_code == 401


@pytest.mark.django_db
def test_types_are_listed_to_those_who_may_start_them(client, citizen_type):
    names = [found["name"] for found in client.get("/jobs/types", headers=bearer(UserFactory())).json()]
    assert "tests.open" in names
    assert "jobs.self_test" not in names
    admin = UserFactory(role=Role.ADMIN)
    assert "jobs.self_test" in [found["name"] for found in client.get("/jobs/types", headers=bearer(admin)).json()]


@pytest.mark.django_db
def test_cancelling_waiting_running_and_ended_jobs(client, citizen_type):
    user, admin = UserFactory(), UserFactory(role=Role.ADMIN)
    waiting, running = post(client, user)["Location"], post(client, user)["Location"]
    response = client.delete(waiting, headers=bearer(user))
    assert (response.status_code, response.json()["status"]) == (200, "cancelled")
    again = client.delete(waiting, headers=bearer(user))
    assert (again.status_code, again.json()["code"]) == (409, "job_already_finished")

    claim(job_id=uuid.UUID(running.removeprefix("/jobs/")))
    response = client.delete(running, headers=bearer(admin))
    assert (response.status_code, response.json()["status"]) == (202, "running")
    assert response.json()["is_cancel_requested"] is True
    assert client.delete(running, headers=bearer(user)).status_code == 202
    actions = set(Entry.objects.filter(action__contains="cancel").values_list("action", "actor"))
    assert actions == {
        ("jobs.job.cancelled", f"user:{user.pk}"),
        ("jobs.job.cancel_requested", f"user:{admin.pk}"),
    }
    assert not run_queued_jobs()


@pytest.mark.django_db
def test_a_secret_input_is_not_in_the_row_and_wiped_when_cancelled(client, django_capture_on_commit_callbacks):
    user = UserFactory()
    with job_type("tests.secret", permission=IsSignedIn, is_secret=True):
        response = post(client, user, {"witness": "w-123"}, type="tests.secret")
        job = Job.objects.get()
        assert job.input is None
        sealed = cache.get(sealed_name(job.pk))
        assert sealed
        assert b"w-123" not in sealed
        with django_capture_on_commit_callbacks(execute=True):
            client.delete(response["Location"], headers=bearer(user))
    assert cache.get(sealed_name(job.pk)) is None


@pytest.mark.django_db
def test_a_secret_job_whose_input_expired_says_so(django_capture_on_commit_callbacks):
    with job_type("tests.secret", is_secret=True):
        job = start(type="tests.secret", input={"witness": "w"})
        cache.delete(sealed_name(job.pk))
        run_queued_jobs()
    job.refresh_from_db()
    assert job.problem["code"] == "secret_input_lost"


@pytest.mark.django_db
def test_the_schema_error_of_a_secret_input_does_not_repeat_it(client):
    schema = {"type": "object", "properties": {"w": {"type": "string", "pattern": "^[0-9]+$"}}}
    with job_type("tests.secret", permission=IsSignedIn, is_secret=True, input_schema=schema):
        response = post(client, UserFactory(), {"w": "hush-hush"}, type="tests.secret")
    assert response.status_code == 400
    assert b"hush" not in response.content


@pytest.mark.slow
@pytest.mark.django_db
def test_a_broker_that_is_down_keeps_the_job_for_later(
    client, citizen_type, settings, django_capture_on_commit_callbacks
):
    from config.celery import app

    kept = app.conf.broker_url, app.conf.broker_write_url
    app.conf.broker_url = app.conf.broker_write_url = "redis://127.0.0.1:1/0"
    app.amqp._producer_pool = app._pool = None
    try:
        with django_capture_on_commit_callbacks(execute=True):
            response = post(client, UserFactory())
    finally:
        app.conf.broker_url, app.conf.broker_write_url = kept
        app.amqp._producer_pool = app._pool = None
    assert response.status_code == 202
    assert Job.objects.get().status == JobStatus.QUEUED
