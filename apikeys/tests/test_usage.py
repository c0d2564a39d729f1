import base64
import time
from datetime import timedelta

import pytest
from django.db import DatabaseError, OperationalError
from django.utils import timezone

from accounts.tests.factories import UserFactory, bearer
from apikeys import services
from apikeys.exceptions import ApiKeyRevoked
from apikeys.models import ApiKey, ApiKeyUsage
from apikeys.services import background, key_cache, usage
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


def test_refused_requests_and_those_of_basic_are_counted_by_their_route(client, settings):
    admin = UserFactory(role="admin")
    _, text = make_key(owner=admin, scopes=["elections:read", "admin:api-keys"], limit_per_minute=1)
    assert [client.get("/elections", headers=api_key(text)).status_code for _ in range(2)] == [200, 429]
    credentials = base64.b64encode(f"{admin.email}:{text}".encode()).decode()
    assert client.get("/admin/api-keys", headers={"Authorization": f"Basic {credentials}"}).status_code == 200
    services.flush_usage()
    assert set(ApiKeyUsage.objects.values_list("route", "status")) == {
        ("GET /elections", 200),
        ("GET /elections", 429),
        ("GET /admin/api-keys", 200),
    }


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


@pytest.fixture
def running(settings):
    """The process's thread, which the suite does without."""
    settings.API_KEY_USAGE_FLUSH_SECONDS = 0.05
    background.keep_running()
    thread = background._thread
    yield
    settings.API_KEY_USAGE_FLUSH_SECONDS = 0
    thread.join()
    background._thread = None


def wait_until(condition):
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


@pytest.mark.django_db(transaction=True)
def test_a_thread_writes_the_counts_a_moment_later(running):
    key, _ = make_key()
    services.count_request(key_id=key.pk, route="GET /x", status=200)
    wait_until(ApiKeyUsage.objects.exists)
    assert ApiKeyUsage.objects.get().requests == 1


@pytest.mark.django_db(transaction=True)
def test_a_thread_keeps_the_keys_in_use_fresh(running):
    key, text = make_key()
    stranger, _ = make_key(name="not in use")
    services.authenticate_key(text)
    read = ApiKey.objects.get(pk=key.pk)
    ApiKey.objects.filter(pk=key.pk).update(limit_per_minute=7)
    wait_until(lambda: services.authenticate_key(text).limit_per_minute == 7)
    assert read.limit_per_minute is None
    assert services.authenticate_key(text).limit_per_minute == 7
    revoked_at = timezone.now()
    ApiKey.objects.filter(pk=key.pk).update(revoked_at=revoked_at)
    wait_until(lambda: key_cache.cached_key(key.lookup_id).revoked_at)
    with pytest.raises(ApiKeyRevoked):
        services.authenticate_key(text)
    assert not key_cache.is_known(stranger.lookup_id)


def test_the_keys_in_use_are_read_again_in_one_query(django_assert_num_queries):
    texts = [make_key(name=f"key {number}")[1] for number in range(3)]
    for text in texts:
        services.authenticate_key(text)
    assert key_cache.refresh_keys() == 0  # nobody came a second time
    for text in texts[:2]:
        services.authenticate_key(text)
    with django_assert_num_queries(1):
        assert key_cache.refresh_keys() == 2
    with django_assert_num_queries(0):
        assert key_cache.refresh_keys() == 0


def test_a_row_that_was_read_before_a_change_is_not_kept_after_it(monkeypatch):
    key, text = make_key()
    services.authenticate_key(text)
    services.authenticate_key(text)
    genuine = key_cache.list_keys_by_lookup_id

    def read_then_forget(**arguments):
        rows = genuine(**arguments)
        services.forget_keys()
        return rows

    monkeypatch.setattr(key_cache, "list_keys_by_lookup_id", read_then_forget)
    key_cache.refresh_keys()
    assert not key_cache.is_known(key.lookup_id)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_written", [True, False])
def test_a_commit_without_an_answer_is_counted_once(monkeypatch, is_written):
    key, _ = make_key()
    services.count_request(key_id=key.pk, route="GET /x", status=200)
    genuine = usage.connection.commit

    def commit_and_break():
        if is_written:
            genuine()
        else:
            usage.connection.rollback()
        raise OperationalError("the connection broke")

    with monkeypatch.context() as patch:
        patch.setattr(usage.connection._connections[usage.connection._alias], "commit", commit_and_break)
        with pytest.raises(OperationalError):
            services.flush_usage()
    services.count_request(key_id=key.pk, route="GET /x", status=200)
    services.flush_usage()
    assert services.flush_usage() == 0
    assert ApiKeyUsage.objects.get().requests == 2


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
    client.post("/admin/apikeys/apikey/", {"action": "revoke", "_selected_action": [str(key.pk)], "confirmed": "yes"})
    key.refresh_from_db()
    assert key.status == "revoked"
