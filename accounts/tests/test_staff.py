"""The staff's way into the admin: passwords, limits, sessions, and what each role may do there."""

import getpass
import io
from datetime import timedelta

import pytest
from cryptography.fernet import Fernet
from django.contrib import admin
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.exceptions import AdminExists
from accounts.models import ProviderToken, RefreshToken, RevokedToken, SignIn, User
from accounts.services import create_admin, issue_refresh_token, purge_expired, reseal_provider_tokens
from accounts.services.provider_tokens import ReceivedTokens, place, read_id_token, store_tokens
from accounts.services.sealing import CannotUnseal, seal, unseal
from accounts.tasks import purge
from accounts.tests.factories import IdentityFactory, SignInFactory, UserFactory
from audit.models import Entry

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery staple"


@pytest.fixture
def boss():
    return create_admin(email="boss@example.org", password=PASSWORD)


def try_password(client, email="boss@example.org", password=PASSWORD, **more):
    return client.post("/admin/login/", {"username": email, "password": password, **more})


@pytest.mark.slow
def test_the_first_admin_signs_in_by_password(client, boss):
    response = try_password(client, next="/admin/accounts/user/")
    assert (response.status_code, response["Location"]) == (302, "/admin/accounts/user/")
    assert client.get("/admin/").status_code == 200
    assert SignIn.objects.get().method == "password"
    assert client.get("/auth/me").json()["is_admin"] is True


def test_the_way_on_from_the_login_is_never_foreign(client, boss):
    assert try_password(client, next="https://evil.example/")["Location"] == "/admin/"
    assert Client().get("/admin/login/?next=//evil.example").status_code == 200
    assert try_password(Client(), next="/a\r\nX-Evil: 1")["Location"] == "/a%0D%0AX-Evil:%201"


@pytest.mark.parametrize("email", ["boss@example.org", "nobody@example.org", "viewer@example.org"])
def test_a_wrong_password_is_refused_and_audited(client, boss, email):
    viewer = UserFactory(email="viewer@example.org", role="viewer")
    viewer.set_password("another good password")
    viewer.save()
    response = try_password(client, email=email, password="another good password")
    assert response.status_code == 401
    assert "_auth_user_id" not in client.session
    assert Entry.objects.filter(action="accounts.sign_in.refused", data__code="password_refused").count() == 1


def test_guessing_is_limited_by_name_and_by_address(client, boss):
    for number in range(5):
        assert try_password(client, password=f"guess {number}").status_code == 401
    limited = try_password(client)
    assert limited.status_code == 429
    assert limited["Retry-After"] == "60"
    statuses = [try_password(client, email=f"other{number}@example.org").status_code for number in range(6)]
    assert statuses[-1] == 429


def test_signing_out_ends_the_session(client, boss):
    try_password(client)
    assert client.get("/admin/logout/").status_code == 405
    assert b"signed out" in client.post("/admin/logout/").content
    assert client.get("/admin/").status_code == 302
    assert SignIn.objects.get().revoked_because == "signed_out"


def test_a_session_falls_with_its_sign_in(client, boss):
    try_password(client)
    SignIn.objects.update(revoked_at=timezone.now())
    response = client.get("/auth/me")
    assert (response.status_code, response.json()["code"]) == (401, "sign_in_ended")
    assert "_auth_user_id" not in client.session


def test_a_session_ends_after_its_hours(client, boss):
    try_password(client)
    SignIn.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get("/admin/").status_code == 302


def test_a_deactivated_admins_session_is_over(client, boss):
    try_password(client)
    User.objects.update(is_active=False)
    assert client.get("/admin/").status_code == 302


def test_create_admin_makes_one_admin_and_sets_passwords_anew(monkeypatch):
    def run(email, password):
        monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
        call_command("create_admin", email=email, password_stdin=True, stdout=io.StringIO())

    with pytest.raises(CommandError):
        run("boss@example.org", "short")
    run("boss@example.org", PASSWORD)
    run("boss@example.org", PASSWORD + " again")
    assert User.objects.get().check_password(PASSWORD + " again")
    with pytest.raises(CommandError, match="administrator already"):
        run("second@example.org", PASSWORD)
    assert User.objects.count() == 1
    assert Entry.objects.filter(action="accounts.password.set").count() == 2


@pytest.mark.parametrize("obstacle", [EOFError, getpass.GetPassWarning])
def test_create_admin_without_a_terminal_says_what_to_do(monkeypatch, obstacle):
    def fail(_):
        raise obstacle

    monkeypatch.setattr("getpass.getpass", fail)
    with pytest.raises(CommandError, match="--password-stdin"):
        call_command("create_admin", email="boss@example.org")
    assert not User.objects.exists()


def test_an_admin_by_eid_gets_no_password():
    UserFactory(role="admin", email="eid@example.org")
    with pytest.raises(AdminExists):
        create_admin(email="eid@example.org", password=PASSWORD)


def test_link_staff_gives_a_role():
    output = io.StringIO()
    known = {"issuer": "https://eid.example", "subject": "s", "email": "v@example.org"}
    call_command("link_staff", role="viewer", stdout=output, **known)
    assert User.objects.get().role == "viewer"
    with pytest.raises(CommandError):
        call_command("link_staff", role="viewer", **{**known, "subject": "t", "email": "ａ@example.org"})


def test_generated_keys_can_be_used():
    output = io.StringIO()
    call_command("generate_signing_key", stdout=output)
    call_command("generate_signing_key", sealing=True, stdout=output)
    from accounts.services.keys import load_keys
    from accounts.services.sealing import load_fernet

    signing, sealing = output.getvalue().split()
    assert load_keys((signing,), "")[0].algorithm == "EdDSA"
    load_fernet((sealing,), "")


# --- sealing ---


def test_sealed_values_open_only_in_their_place():
    sealed = seal("a secret", place="row/field")
    assert "a secret" not in sealed
    assert unseal(sealed, place="row/field") == "a secret"
    for other in ("row/other", "another/field"):
        with pytest.raises(CannotUnseal):
            unseal(sealed, place=other)
    with pytest.raises(CannotUnseal):
        unseal(sealed[:-4] + "AAA=", place="row/field")


def test_keys_rotate_and_old_ones_can_go(settings):
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    sign_in = SignInFactory()
    settings.TOKEN_ENCRYPTION_KEYS = [old]
    store_tokens(sign_in=sign_in, tokens=ReceivedTokens("access", "id", "refresh"))
    settings.TOKEN_ENCRYPTION_KEYS = [new, old]
    assert read_id_token(sign_in=sign_in) == "id"
    output = io.StringIO()
    call_command("rotate_keys", stdout=output)
    assert output.getvalue().startswith("1 ")
    settings.TOKEN_ENCRYPTION_KEYS = [new]
    row = ProviderToken.objects.get()
    assert unseal(row.sealed_refresh_token, place=place(sign_in.pk, "refresh_token")) == "refresh"
    assert reseal_provider_tokens() == 1


def test_what_has_expired_is_purged_and_the_rest_stays():
    now = timezone.now()
    live, over = SignInFactory(), SignInFactory()
    for sign_in in (live, over):
        store_tokens(sign_in=sign_in, tokens=ReceivedTokens("access", "id", "refresh"))
        issue_refresh_token(sign_in=sign_in)
    SignIn.objects.filter(pk=over.pk).update(expires_at=now - timedelta(seconds=1))
    RevokedToken.objects.create(jti="old", expires_at=now - timedelta(seconds=1))
    RevokedToken.objects.create(jti="new", expires_at=now + timedelta(seconds=60))
    assert purge_expired() == {"refresh_tokens": 1, "revoked_tokens": 1, "provider_tokens": 1}
    assert RefreshToken.objects.get().sign_in == live
    assert ProviderToken.objects.get().sign_in == live
    assert RevokedToken.objects.get().jti == "new"
    assert SignIn.objects.count() == 2
    entries = Entry.objects.count()
    assert purge() == {"refresh_tokens": 0, "revoked_tokens": 0, "provider_tokens": 0}
    assert Entry.objects.count() == entries


# --- the admin's pages ---


@pytest.fixture
def rows():
    user = UserFactory(role="viewer")
    sign_in = SignInFactory(user=user)
    return {
        "user": user,
        "identity": IdentityFactory(user=user),
        "signin": sign_in,
        "providertoken": store_tokens(sign_in=sign_in, tokens=ReceivedTokens("access", "id", "refresh")),
        "revokedtoken": RevokedToken.objects.create(jti="x", expires_at=timezone.now()),
        "refreshtoken": (issue_refresh_token(sign_in=sign_in), RefreshToken.objects.get())[1],
    }


@pytest.mark.slow
@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_lists_and_details_open_for_viewers_and_admins(client, rows, role):
    client.force_login(UserFactory(role=role))
    for name, row in rows.items():
        assert client.get(reverse(f"admin:accounts_{name}_changelist")).status_code == 200
        page = client.get(reverse(f"admin:accounts_{name}_change", args=[row.pk]))
        assert page.status_code == 200
        assert b"gAAAA" not in page.content, "a sealed token is shown"


@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_facts_cannot_be_changed_by_anybody(client, rows, role):
    client.force_login(UserFactory(role=role))
    for name, row in rows.items():
        if name == "user":
            continue
        assert client.get(reverse(f"admin:accounts_{name}_add")).status_code == 403
        assert client.post(reverse(f"admin:accounts_{name}_change", args=[row.pk]), {}).status_code == 403
        assert client.post(reverse(f"admin:accounts_{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        assert type(row).objects.filter(pk=row.pk).exists()


def test_viewers_change_no_users(client, rows):
    client.force_login(UserFactory(role="viewer"))
    user = rows["user"]
    change = reverse("admin:accounts_user_change", args=[user.pk])
    assert client.post(change, {"email": user.email, "role": "admin", "is_active": "on"}).status_code == 403
    assert client.get(reverse("admin:accounts_user_add")).status_code == 403
    assert client.post(reverse("admin:accounts_user_delete", args=[user.pk]), {"post": "yes"}).status_code == 403
    user.refresh_from_db()
    assert user.role == "viewer"


def test_admins_change_users_through_the_services(client, rows):
    boss = UserFactory(role="admin")
    client.force_login(boss)
    user = rows["user"]
    change = reverse("admin:accounts_user_change", args=[user.pk])
    inlines = {
        f"{prefix}-{name}": "0" for prefix in ("identities", "sign_ins") for name in ("TOTAL_FORMS", "INITIAL_FORMS")
    }
    response = client.post(change, {"email": user.email, "role": "admin", "is_active": "on", **inlines})
    assert response.status_code == 302
    user.refresh_from_db()
    assert (user.role, user.role_version) == ("admin", 1)
    assert Entry.objects.get(action="accounts.user.updated").actor == f"user:{boss.pk}"
    # The rules are the API's.
    own = reverse("admin:accounts_user_change", args=[boss.pk])
    refused = client.post(own, {"email": boss.email, "role": "viewer", "is_active": "on", **inlines}, follow=True)
    assert b"Nobody changes their own role" in refused.content
    boss.refresh_from_db()
    assert boss.role == "admin"


def test_admins_invite_and_delete_users(client):
    boss = UserFactory(role="admin")
    client.force_login(boss)
    response = client.post(
        reverse("admin:accounts_user_add"), {"email": "New@example.org", "role": "viewer"}, follow=True
    )
    assert b"invitation=" in response.content
    user = User.objects.get(email="new@example.org")
    gone = client.post(reverse("admin:accounts_user_delete", args=[user.pk]), {"post": "yes"})
    assert gone.status_code == 302
    user.refresh_from_db()
    assert user.deleted_at is not None
    refused = client.post(reverse("admin:accounts_user_delete", args=[boss.pk]), {"post": "yes"}, follow=True)
    assert b"Nobody changes their own role" in refused.content
    assert User.objects.filter(pk=boss.pk, deleted_at=None).exists()


def test_an_admin_ends_sign_ins_and_a_viewer_does_not(client, rows):
    url = reverse("admin:accounts_signin_changelist")
    data = {"action": "end", "_selected_action": [str(rows["signin"].pk)], "confirmed": "yes"}
    client.force_login(UserFactory(role="viewer"))
    client.post(url, data)
    assert SignIn.objects.get(pk=rows["signin"].pk).revoked_at is None
    client.force_login(UserFactory(role="admin"))
    client.post(url, data)
    assert SignIn.objects.get(pk=rows["signin"].pk).revoked_because == "ended_by_admin"


@pytest.mark.slow
@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_the_dashboard_shows_figures_and_charts_under_its_own_policy(client, role):
    client.force_login(UserFactory(role=role))
    page = client.get("/admin/")
    assert page.status_code == 200
    for words in (
        b"Elections by status",
        b"Chain height",
        b"Waiting by queue",
        b"Requests per second",
        b"audit entries",
    ):
        assert words in page.content
    policy = page["Content-Security-Policy"]
    assert "script-src 'self' 'unsafe-eval'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert "unsafe" not in client.get("/auth/me")["Content-Security-Policy"]
    assert admin.site.is_registered(User)
