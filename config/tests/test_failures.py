"""What a process does when the ground gives way; docs/operations.md says the same in words."""

import pytest
import time_machine
from django.db import connection
from django.utils import timezone

from accounts.models import Role
from accounts.tests.factories import UserFactory, bearer
from audit.models import Entry
from config import health
from jobs.models import Job


@pytest.fixture
def full_disk(transactional_db):
    """PostgreSQL answers a job's INSERT as it does when its disk is full (SQLSTATE 53100)."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END$$"
        )
        cursor.execute("CREATE TRIGGER full_disk BEFORE INSERT ON jobs_job FOR EACH ROW EXECUTE FUNCTION no_room()")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TRIGGER full_disk ON jobs_job")
        cursor.execute("DROP FUNCTION no_room")


def test_a_full_disk_is_a_503_without_effect(client, full_disk):
    admin = UserFactory(role=Role.ADMIN)
    before = Entry.objects.count()
    response = client.post("/jobs/jobs.self_test", {"steps": 1}, content_type="application/json", headers=bearer(admin))
    assert response.status_code == 503
    assert response.json()["code"] == "database_unavailable"
    assert response["Retry-After"] == "5"
    assert "extend" not in response.content.decode()
    assert not Job.objects.exists()
    assert Entry.objects.count() == before


def test_a_page_of_django_s_own_is_a_503_too(client, monkeypatch, db):
    from django.db import OperationalError

    from elections import pages

    def fail(*_, **__):
        raise OperationalError("server closed the connection")

    monkeypatch.setattr(pages, "list_elections", fail, raising=False)
    for name in ("get_election", "list_elections", "get_latest_head"):
        monkeypatch.setattr(pages, name, fail, raising=False)
    client.raise_request_exception = False
    response = client.get("/e/31337-00000000-1")
    assert response.status_code == 503
    assert response.json()["code"] == "database_unavailable"


@pytest.mark.django_db
def test_a_clock_that_differs_is_reported():
    assert health.run_check("postgresql").is_up
    with time_machine.travel(timezone.now() + timezone.timedelta(minutes=2)):
        part = health.run_check("postgresql")
    assert not part.is_up
    assert part.details["code"] == "clock_skew"


@pytest.mark.django_db
def test_without_redis_readiness_says_unavailable(client, settings):
    settings.REDIS_URL = "redis://127.0.0.1:9/0"
    response = client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["parts"]["redis"]["status"] == "down"
    assert "127.0.0.1" not in response.content.decode()


@pytest.mark.django_db
def test_without_a_node_we_serve_what_we_have_and_readiness_says_so(client):
    response = client.get("/readyz")
    assert response.status_code == 200
    assert response.json()["status"] == "degraded"
    assert response.json()["parts"]["chain"]["status"] == "down"
    assert client.get("/elections").status_code == 200
