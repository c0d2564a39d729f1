from datetime import timedelta

import pytest
from django.db import DatabaseError
from django.utils import timezone

from accounts.tests.factories import UserFactory, bearer
from apikeys import services
from apikeys.models import ApiKeyUsage
from apikeys.services import usage
from apikeys.tasks import delete_old_usage
from apikeys.tests.factories import api_key, make_key
from audit.models import Entry

pytestmark = pytest.mark.django_db


def test_requests_are_counted_by_route_and_status_and_written_in_one_batch(client, django_assert_num_queries):
    key, text = make_key(scopes=["admin:api-keys"])
    for _ in range(3):
        client.get(f"/admin/api-keys/{key.pk}", headers=api_key(text))
    client.get("/nowhere", headers=api_key(text))
    assert not ApiKeyUsage.objects.exists()
    with django_assert_num_queries(4):  # a savepoint, the counts, the last uses, the savepoint's end
        assert services.flush_usage() == 4
    assert services.flush_usage() == 0
    rows = set(ApiKeyUsage.objects.values_list("route", "status", "requests"))
    assert rows == {("GET /admin/api-keys/<uuid:key_id>", 200, 3), ("GET /", 404, 1)}
    key.refresh_from_db()
    assert timezone.now() - key.last_used_at < timedelta(minutes=1)
    client.get("/nowhere", headers=api_key(text))
    services.flush_usage()
    assert ApiKeyUsage.objects.get(status=404).requests == 2


def test_a_kept_answer_asks_for_the_scope_and_is_counted(client):
    _, text = make_key(scopes=[])
    assert client.get("/elections", headers=api_key(text)).json()["code"] == "api_key_scope_missing"
    _, text = make_key(scopes=["elections:read"])
    answer = client.get("/elections", headers=api_key(text))
    assert answer.status_code == 200
    assert "RateLimit" in answer
    services.flush_usage()
    assert set(ApiKeyUsage.objects.values_list("route", "status")) == {("GET /elections", 403), ("GET /elections", 200)}


def test_counts_survive_a_failing_database(monkeypatch):
    key, _ = make_key()
    services.count_request(key_id=key.pk, route="GET /x", status=200)

    def fail():
        raise DatabaseError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(usage.connection, "cursor", fail)
        with pytest.raises(DatabaseError):
            services.flush_usage()
    assert services.flush_usage() == 1


@pytest.mark.django_db(transaction=True)
def test_a_thread_writes_the_counts_a_moment_later(settings):
    import time

    settings.API_KEY_USAGE_FLUSH_SECONDS = 0.05
    key, _ = make_key()
    services.count_request(key_id=key.pk, route="GET /x", status=200)
    deadline = time.monotonic() + 20
    while not ApiKeyUsage.objects.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ApiKeyUsage.objects.get().requests == 1
    settings.API_KEY_USAGE_FLUSH_SECONDS = 3600


def test_usage_older_than_ninety_days_goes(client):
    key, _ = make_key()
    now = timezone.now()
    ApiKeyUsage.objects.bulk_create(
        ApiKeyUsage(key=key, hour=now - timedelta(days=age), route="GET /x", status=200, requests=5)
        for age in (1, 89, 91, 200)
    )
    assert delete_old_usage() == 2
    assert delete_old_usage() == 0
    assert Entry.objects.filter(action="apikeys.usage.deleted").count() == 1
    admin = UserFactory(role="admin")
    answer = client.get(f"/admin/api-keys/{key.pk}/usage?days=90", headers=bearer(admin)).json()
    assert (answer["days"], answer["requests"]) == (90, 10)
    assert [row["requests"] for row in answer["rows"]] == [5, 5]
    assert client.get(f"/admin/api-keys/{key.pk}/usage?days=91", headers=bearer(admin)).status_code == 400


def test_the_admin_shows_a_chart_and_revokes(client):
    admin = UserFactory(role="admin")
    key, text = make_key(owner=admin)
    ApiKeyUsage.objects.bulk_create(
        [
            ApiKeyUsage(key=key, hour=timezone.now(), route="GET /x", status=200, requests=1200),
            ApiKeyUsage(key=key, hour=timezone.now(), route="GET /x", status=429, requests=34),
        ]
    )
    client.force_login(admin, backend="accounts.backends.SessionBackend")
    page = client.get(f"/admin/apikeys/apikey/{key.pk}/change/").content.decode()
    assert "1200 answered, 34 refused" in page
    assert text[16:] not in page
    client.post("/admin/apikeys/apikey/", {"action": "revoke", "_selected_action": [str(key.pk)]})
    key.refresh_from_db()
    assert key.status == "revoked"
