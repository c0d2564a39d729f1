"""The admin API: every route for every caller, and the rules about users."""

import json
import re
import threading
import uuid

import pytest
import yaml
from django.db import connection
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone
from rest_framework.views import APIView

from accounts.exceptions import LastAdmin
from accounts.models import Identity, SignIn, User
from accounts.services import delete_user, invite, link_identity, update_user
from accounts.tests.conftest import sign_in
from accounts.tests.factories import SignInFactory, UserFactory, access_token, bearer
from audit.models import Entry

ID = "00000000-0000-0000-0000-000000000001"
# Every REST route under /admin/ with a request that an administrator may make, and its status for them.
ROUTES = {
    ("GET", "admin/users"): (None, 200),
    ("POST", "admin/users"): ({"email": "new@example.org", "role": "viewer"}, 201),
    ("GET", "admin/users/<uuid:user_id>"): (None, 200),
    ("PUT", "admin/users/<uuid:user_id>"): ({"role": "viewer"}, 200),
    ("DELETE", "admin/users/<uuid:user_id>"): (None, 204),
    ("GET", "admin/metrics"): (None, 200),
}
# Owned, and tabled, by other apps.
ELSEWHERE = re.compile(r"admin/api-keys")
CALLERS = [
    "none",
    "malformed",
    "expired",
    "tampered",
    "citizen",
    "viewer",
    "no-claim",
    "deactivated",
    "deleted",
    "admin",
]
EXPECTED = {
    "none": (401, "not_authenticated"),
    "malformed": (401, "invalid_token"),
    "expired": (401, "token_expired"),
    "tampered": (401, "invalid_token"),
    "citizen": (403, "admin_required"),
    "viewer": (403, "admin_required"),
    "no-claim": (403, "admin_required"),
    "deactivated": (401, "user_deactivated"),
    "deleted": (401, "user_deactivated"),
}


def admin_routes():
    """List (method, route) of every REST view under /admin/, as the resolver knows them."""
    found = set()

    def walk(patterns, prefix):
        for pattern in patterns:
            route = prefix + str(pattern.pattern)
            if hasattr(pattern, "url_patterns"):
                walk(pattern.url_patterns, route)
                continue
            view = getattr(pattern.callback, "cls", None)
            if route.startswith("admin/") and isinstance(view, type) and issubclass(view, APIView):
                methods = [name.upper() for name in view.http_method_names if hasattr(view, name)]
                found.update((method, route) for method in methods if method not in {"OPTIONS", "HEAD"})

    walk(get_resolver().url_patterns, "")
    return found


def test_every_admin_route_is_in_the_table():
    ours = {(method, route) for method, route in admin_routes() if not ELSEWHERE.match(route)}
    assert ours == set(ROUTES)


@pytest.mark.django_db
@pytest.mark.parametrize("caller", [name for name in CALLERS if name != "admin"])
def test_no_admin_route_of_any_app_opens_for_others(client, caller):
    for method, route in sorted(admin_routes()):
        path = "/" + re.sub(r"<uuid:\w+>", ID, re.sub(r"<(?:int:)?\w+>", "1", route))
        response = client.generic(method, path, b"{}", content_type="application/json", headers=headers_of(caller))
        assert response.status_code == EXPECTED[caller][0], (method, path)


def headers_of(caller):
    if caller == "none":
        return {}
    if caller == "malformed":
        return {"Authorization": "Bearer a b"}
    role = caller if caller in {"citizen", "viewer"} else "admin"
    user = UserFactory(role=role)
    if caller == "expired":
        return bearer(user, exp=int(timezone.now().timestamp()) - 1)
    if caller == "tampered":
        head, body, signature = access_token(user).split(".")
        return {"Authorization": f"Bearer {head}.{body}.{'A' * len(signature)}"}
    headers = bearer(user, admin=False) if caller == "no-claim" else bearer(user)
    if caller in {"deactivated", "deleted"}:
        user.is_active = False
        user.deleted_at = timezone.now() if caller == "deleted" else None
        user.save()
    return headers


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize(("method", "route"), ROUTES)
def test_each_route_for_each_caller(client, method, route, caller):
    target = UserFactory(id=ID)
    body, status = ROUTES[method, route]
    headers = headers_of(caller)
    before = (User.objects.count(), Entry.objects.count())
    response = client.generic(
        method,
        "/" + route.replace("<uuid:user_id>", ID),
        json.dumps(body) if body else b"",
        content_type="application/json",
        headers=headers,
    )
    if caller == "admin":
        assert response.status_code == status, response.content
        return
    assert (response.status_code, response.json()["code"]) == EXPECTED[caller]
    assert response["Content-Type"] == "application/problem+json"
    if response.status_code == 401:
        assert response["WWW-Authenticate"].startswith('Bearer realm="psephos"')
    target.refresh_from_db()
    assert (target.role, target.deleted_at) == ("citizen", None)
    assert (User.objects.count(), Entry.objects.count()) == before


@pytest.mark.django_db
def test_a_session_is_no_key_to_the_admin_api(client):
    client.force_login(UserFactory(role="admin"))
    assert client.get("/admin/users").status_code == 401


@pytest.mark.django_db
def test_role_changes_take_effect_at_once_on_tokens_already_issued(client):
    boss, user = UserFactory(role="admin"), UserFactory(role="viewer")
    headers = bearer(user)
    assert client.get("/admin/users", headers=headers).status_code == 403
    update_user(actor=boss, user_id=user.pk, role="admin")
    assert client.get("/admin/users", headers=headers).status_code == 200
    update_user(actor=boss, user_id=user.pk, role="viewer")
    assert client.get("/admin/users", headers=headers).status_code == 403
    update_user(actor=boss, user_id=user.pk, is_active=False)
    assert client.get("/admin/users", headers=headers).status_code == 401


@pytest.mark.django_db
def test_users_are_listed_filtered_and_paged(client, django_assert_num_queries):
    admin = UserFactory(role="admin", email="boss@example.org")
    headers = bearer(admin)
    UserFactory.create_batch(3, role="viewer")
    UserFactory(role="viewer", is_active=False, deleted_at=timezone.now())
    with django_assert_num_queries(3):
        page = client.get("/admin/users?role=viewer&limit=2", headers=headers).json()
    assert page["count"] == 3
    assert len(page["results"]) == 2
    assert set(page["results"][0]) == {"id", "email", "role", "is_active", "last_sign_in", "created_at"}
    assert (
        client.get("/admin/users?role=viewer&limit=2&offset=2", headers=headers).json()["results"][0]["role"]
        == "viewer"
    )


@pytest.mark.django_db
@pytest.mark.parametrize(
    "query", ["role=king", "limit=0", "limit=1000", "offset=-1", "surprise=1", "is_active=perhaps"]
)
def test_a_bad_query_is_refused(client, query):
    response = client.get(f"/admin/users?{query}", headers=bearer(UserFactory(role="admin")))
    assert (response.status_code, response.json()["code"]) == (400, "invalid")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"email": "x@example.org"}, 400, "invalid"),
        ({"email": "x@example.org", "role": "citizen"}, 400, "invalid"),
        ({"email": "x@example.org", "role": "owner"}, 400, "invalid"),
        ({"email": "x@example.org", "role": "viewer", "is_superuser": True}, 400, "invalid"),
        ({"email": "not an address", "role": "viewer"}, 400, "email_not_canonical"),
        ({"email": "nobody", "role": "viewer"}, 400, "email_invalid"),
        ({"email": "ａdmin@example.org", "role": "viewer"}, 400, "email_not_canonical"),
        ({"email": "TAKEN@example.org", "role": "viewer"}, 409, "email_taken"),
        ({"email": ["x@example.org"], "role": "viewer"}, 400, "invalid"),
        ([], 400, "invalid"),
    ],
)
def test_a_bad_user_is_refused(client, body, status, code):
    UserFactory(email="taken@example.org")
    headers = bearer(UserFactory(role="admin"))
    response = client.post("/admin/users", body, "application/json", headers=headers)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert User.objects.count() == 2
    assert not Entry.objects.filter(action__startswith="accounts.user").exists()


@pytest.mark.slow
@pytest.mark.django_db
def test_a_new_member_of_staff_signs_in_by_their_invitation_once(client, oidc):
    admin = UserFactory(role="admin")
    body = {"email": "someone@elsewhere.org", "role": "viewer"}
    created = client.post("/admin/users", body, "application/json", headers=bearer(admin))
    assert created.status_code == 201
    assert created["Location"] == f"/admin/users/{created.json()['id']}"
    invitation = created.json()["invitation_url"].partition("invitation=")[2]
    invited = Client()
    assert sign_in(invited, "local-viewer", invitation=invitation)["Location"] == "/admin/"
    me = invited.get("/auth/me").json()
    assert (me["id"], me["role"]) == (created.json()["id"], "viewer")
    # A second person with the same link becomes nobody.
    second = sign_in(Client(), "local-citizen", invitation=invitation)
    assert (second.status_code, second.json()["code"]) == (400, "invitation_refused")
    assert User.objects.count() == 2
    entry = Entry.objects.get(action="accounts.user.created")
    assert entry.actor == f"user:{admin.pk}"


@pytest.mark.slow
@pytest.mark.django_db
def test_a_citizen_or_a_former_member_follows_an_invitation_and_staff_do_not(client, oidc):
    citizen = Client()
    sign_in(citizen, "local-citizen")
    first, second = (invite(user=UserFactory(role="viewer")).partition("invitation=")[2] for _ in range(2))
    assert sign_in(Client(), "local-citizen", invitation=first)["Location"] == "/admin/"
    assert citizen.get("/auth/me").status_code == 401
    identity = Identity.objects.get()
    assert identity.user.role == "viewer"
    # The same link again is only a sign-in; another's is refused.
    assert sign_in(Client(), "local-citizen", invitation=first).status_code == 302
    assert sign_in(Client(), "local-citizen", invitation=second).json()["code"] == "invitation_refused"
    delete_user(actor=None, user_id=identity.user_id)
    assert sign_in(Client(), "local-citizen").json()["code"] == "user_deactivated"
    assert sign_in(Client(), "local-citizen", invitation=second)["Location"] == "/admin/"


@pytest.mark.django_db
def test_a_forged_invitation_is_refused(oidc):
    response = sign_in(Client(), invitation="eyJ1c2VyIjoiMSJ9:1:forged")
    assert response.json()["code"] == "invitation_refused"
    assert not User.objects.exists()


@pytest.mark.django_db
def test_the_last_admin_stays(client):
    admin, other = UserFactory(role="admin"), UserFactory(role="admin")
    headers = bearer(admin)
    assert client.delete(f"/admin/users/{other.pk}", headers=headers).status_code == 204
    for response in (
        client.delete(f"/admin/users/{admin.pk}", headers=headers),
        client.put(f"/admin/users/{admin.pk}", {"role": "viewer"}, "application/json", headers=headers),
        client.put(f"/admin/users/{admin.pk}", {"is_active": False}, "application/json", headers=headers),
    ):
        assert (response.status_code, response.json()["code"]) == (403, "own_account")
    admin.refresh_from_db()
    assert admin.is_admin


@pytest.mark.django_db(transaction=True)
def test_two_admins_who_demote_each_other_leave_one():
    first, second = UserFactory(role="admin"), UserFactory(role="admin")
    answers = []

    def demote(actor, target):
        client = Client()
        answers.append(
            client.put(f"/admin/users/{target.pk}", {"role": "viewer"}, "application/json", headers=tokens[actor.pk])
        )
        connection.close()

    tokens = {user.pk: bearer(user) for user in (first, second)}
    threads = [threading.Thread(target=demote, args=pair) for pair in ((first, second), (second, first))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert User.objects.filter(role="admin", is_active=True).count() == 1
    assert sorted(answer.status_code for answer in answers) in ([200, 403], [200, 409])


@pytest.mark.django_db
def test_operators_cannot_remove_the_last_admin_either():
    admin = UserFactory(role="admin")
    with pytest.raises(LastAdmin):
        delete_user(actor=None, user_id=admin.pk)
    with pytest.raises(LastAdmin):
        update_user(actor=None, user_id=admin.pk, role="citizen")


@pytest.mark.django_db
def test_a_deletion_is_soft_ends_sign_ins_and_frees_the_email(client):
    admin, user = UserFactory(role="admin"), UserFactory(role="viewer", email="x@example.org")
    token = bearer(user)
    SignInFactory(user=user)
    headers = bearer(admin)
    assert client.delete(f"/admin/users/{user.pk}", headers=headers).status_code == 204
    user.refresh_from_db()
    assert user.deleted_at is not None
    assert not SignIn.objects.filter(user=user, revoked_at=None).exists()
    assert client.get("/auth/me", headers=token).status_code == 401
    assert client.get(f"/admin/users/{user.pk}", headers=headers).status_code == 404
    assert client.delete(f"/admin/users/{user.pk}", headers=headers).status_code == 404
    again = client.post(
        "/admin/users", {"email": "x@example.org", "role": "viewer"}, "application/json", headers=headers
    )
    assert again.status_code == 201
    assert Entry.objects.filter(
        target=f"user:{user.pk}", action="accounts.user.deleted", actor=f"user:{admin.pk}"
    ).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("body", [{}, {"password": "x"}, {"role": "owner"}, {"is_active": "perhaps"}])
def test_a_bad_change_is_refused(client, body):
    user = UserFactory()
    response = client.put(
        f"/admin/users/{user.pk}", body, "application/json", headers=bearer(UserFactory(role="admin"))
    )
    assert response.status_code == 400


@pytest.mark.django_db
def test_an_unknown_user_is_not_found(client):
    headers = bearer(UserFactory(role="admin"))
    for method in ("get", "delete"):
        assert getattr(client, method)(f"/admin/users/{uuid.uuid4()}", headers=headers).status_code == 404


@pytest.mark.slow
@pytest.mark.django_db
def test_metrics_name_requests_queues_workers_and_indexer(client):
    headers = bearer(UserFactory(role="admin"))
    body = client.get("/admin/metrics", headers=headers).json()
    assert set(body) >= {"requests", "queues", "workers", "indexer"}
    assert not [name for name, figures in body.items() if "error" in figures], body
    assert body["queues"]["waiting"].keys() >= {"default", "proofs"}
    assert body["workers"]["online"] == 0


@pytest.mark.django_db
def test_a_source_of_metrics_that_fails_spoils_no_other(client, settings):
    settings.ADMIN_METRICS_SOURCES = {"requests": "config.admin_metrics.requests", "broken": f"{__name__}.broken"}
    body = client.get("/admin/metrics", headers=bearer(UserFactory(role="admin"))).json()
    assert body["broken"] == {"error": "RuntimeError"}
    assert "since_start" in body["requests"]


def broken():
    raise RuntimeError("secret detail")


@pytest.mark.slow
def test_the_operations_stand_under_their_tag(client, db):
    paths = client.get("/api/schema", headers={"Accept": "application/json"})
    schema = yaml.safe_load(paths.content)
    for route in ("/admin/users", "/admin/users/{user_id}", "/admin/metrics"):
        for operation in schema["paths"][route].values():
            assert operation["tags"] == ["Admin operations"]
            assert {"401", "403"} <= set(operation["responses"])


@pytest.mark.django_db
def test_link_identity_is_idempotent_and_follows_the_role():
    known = {"email": "viewer@psephos.localhost", "issuer": "https://eid.example", "subject": "v"}
    first = link_identity(role="viewer", **known)
    assert link_identity(role="viewer", **known) == first
    assert link_identity(role="admin", **known).role == "admin"
    assert User.objects.count() == 1
