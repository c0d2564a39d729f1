"""Sign-in, refresh and sign-out against the certified provider."""

import threading
from datetime import timedelta

import jwt
import pytest
import requests
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import Identity, ProviderToken, SignIn, User
from accounts.services import link_identity, provider_tokens
from accounts.services.sealing import unseal
from accounts.tests.conftest import authorize, query_of, sign_in
from accounts.tests.factories import UserFactory, bearer
from audit.models import Entry
from deploy.local.oidc import start_oidc_provider


def actions():
    return list(Entry.objects.order_by("created_at").values_list("action", flat=True))


def expire_id_token(sign_in_row=None):
    rows = ProviderToken.objects.filter(replaced_at=None)
    rows.update(expires_at=timezone.now() - timedelta(seconds=1))


def bearer_of(token):
    return {"Authorization": f"Bearer {token}"}


def test_the_request_to_the_provider_has_pkce_state_and_nonce(client, oidc):
    response = client.get("/auth/login", {"next": "/admin/"})
    sent = query_of(response["Location"])
    assert response["Location"].startswith(f"{oidc.url}/auth?")
    assert sent["code_challenge_method"] == "S256"
    assert sent["response_type"] == "code"
    assert sent["redirect_uri"] == "http://testserver/auth/callback"
    assert len(sent["state"]) >= 32
    assert len(sent["nonce"]) >= 32
    assert len(sent["code_challenge"]) == 43


def test_the_host_header_does_not_reach_the_redirect_uri(client, oidc):
    response = client.get("/auth/login", headers={"Host": "evil.example"})
    assert query_of(response["Location"])["redirect_uri"] == "http://testserver/auth/callback"


def test_on_this_machine_the_sign_in_starts_where_it_will_end(client, oidc, settings):
    settings.PUBLIC_URL = "http://localhost:8000"
    response = client.get("/auth/login?next=/admin/", headers={"Host": "127.0.0.1:8000"})
    assert response["Location"] == "http://localhost:8000/auth/login?next=/admin/"
    assert client.get("/auth/login", headers={"Host": "localhost:8000"})["Location"].startswith(oidc.url)


def test_a_citizen_signs_in_and_gets_a_session(client, oidc):
    response = sign_in(client, next="/api/docs?x=1")
    assert (response.status_code, response["Location"]) == (302, "/api/docs?x=1")
    me = client.get("/auth/me").json()
    assert me["email"] == "citizen@psephos.localhost"
    assert me["role"] == "citizen"
    assert me["is_admin"] is False
    assert me["sign_in"]["provider"] == "local"
    identity = Identity.objects.get()
    assert (identity.issuer, identity.subject) == (oidc.url, "local-citizen")
    assert {"accounts.user.created", "accounts.signed_in"} <= set(actions())


def test_the_session_key_changes_at_sign_in(client, oidc):
    start = client.get("/auth/login")
    before = client.session.session_key
    back = authorize(start["Location"], person="local-citizen")
    client.get(back.removeprefix("http://testserver"))
    assert client.session.session_key != before


@pytest.mark.slow
def test_an_api_client_gets_tokens_that_work(client, oidc):
    response = sign_in(client, response="token")
    pair = response.json()
    assert response["Cache-Control"] == "no-store"
    assert pair["expires_in"] == 1800
    assert client.get("/auth/me", headers=bearer_of(pair["access_token"])).status_code == 200
    assert Client().get("/auth/me", headers=bearer_of(pair["access_token"])).json()["role"] == "citizen"
    jwks = Client().get("/.well-known/jwks.json").json()
    key = jwt.PyJWKSet.from_dict(jwks)[jwt.get_unverified_header(pair["access_token"])["kid"]]
    claims = jwt.decode(
        pair["access_token"], key.key, algorithms=["EdDSA"], audience="psephos", issuer="http://testserver"
    )
    assert claims["admin"] is False
    assert "d" not in jwks["keys"][0]


def test_provider_tokens_are_sealed_and_count_for_half_an_hour(client, oidc):
    sign_in(client)
    row = ProviderToken.objects.get()
    assert row.expires_at - row.issued_at == timedelta(minutes=30)
    place = provider_tokens.place(row.sign_in_id, "id_token")
    assert unseal(row.sealed_id_token, place=place).count(".") == 2
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(t)::text FROM accounts_providertoken t")
        stored = cursor.fetchone()[0]
    assert unseal(row.sealed_refresh_token, place=provider_tokens.place(row.sign_in_id, "refresh_token")) not in stored


@pytest.mark.slow
def test_staff_reach_the_admin_and_citizens_do_not(client, oidc):
    link_identity(email="admin@psephos.localhost", role="admin", issuer=oidc.url, subject="local-admin")
    assert sign_in(client, "local-admin")["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200
    citizen = Client()
    sign_in(citizen, "local-citizen")
    assert citizen.get("/admin/").status_code == 302


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout", "/auth/revoke"])
@pytest.mark.parametrize("body", ["null", "[]", "7", "{", '"x"', '{"token": "\\u0000"}', '{"token": null}', "[" * 2000])
def test_bodies_that_are_no_object_are_refused_not_failed(client, db, path, body):
    response = client.post(path, body, "application/json", headers=bearer(UserFactory()))
    assert response.status_code == 400, response.content
    assert response["Content-Type"] == "application/problem+json"


def test_a_code_or_a_state_works_once(client, oidc):
    start = client.get("/auth/login")
    back = authorize(start["Location"], person="local-citizen").removeprefix("http://testserver")
    assert client.get(back).status_code == 302
    again = client.get(back, headers={"Accept": "application/json"})
    assert (again.status_code, again.json()["code"]) == (400, "state_unknown")
    # The code with another state of ours: the provider knows that it was used, and for which challenge.
    start = client.get("/auth/login")
    query = {**query_of(back), "state": query_of(start["Location"])["state"]}
    response = client.get("/auth/callback", query, headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["code"]) == (401, "code_refused")
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert SignIn.objects.count() == 1


def test_another_browsers_answer_is_refused(oidc):
    start = Client().get("/auth/login")
    back = authorize(start["Location"], person="local-citizen").removeprefix("http://testserver")
    response = Client().get(back, headers={"Accept": "application/json"})
    assert response.json()["code"] == "state_unknown"
    assert not SignIn.objects.exists()
    assert not User.objects.exists()


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, "state_missing"),
        ({"code": "x"}, "state_missing"),
        ({"code": "x", "state": "foreign"}, "state_unknown"),
        ({"code": "x", "state": ["a", "b"]}, "parameter_repeated"),
        ({"code": ["x", "y"], "state": "a"}, "parameter_repeated"),
        ({"code": "x" * 3000, "state": "a"}, "parameter_too_long"),
        ({"error": "access_denied", "state": "foreign"}, "state_unknown"),
    ],
)
def test_a_callback_that_nobody_started_is_refused(client, oidc, query, code):
    response = client.get("/auth/callback", query, headers={"Accept": "application/json"})
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert not User.objects.exists()
    assert "sign_in" not in client.session


def test_a_foreign_error_does_not_end_a_session(client, oidc):
    sign_in(client)
    client.get("/auth/callback", {"error": "access_denied", "state": "foreign"})
    assert client.get("/auth/me").status_code == 200


@pytest.mark.parametrize(
    "path", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "\\\\evil", "admin/"]
)
def test_an_open_redirect_is_refused_before_the_provider_is_asked(client, oidc, path):
    response = client.get("/auth/login", {"next": path})
    assert (response.status_code, response.json()["code"]) == (400, "next_refused")
    assert "oidc_states" not in client.session


def test_an_unknown_provider_is_not_found(client, oidc):
    response = client.get("/auth/login", {"provider": "nobody"})
    assert (response.status_code, response.json()["code"]) == (404, "unknown_provider")


def test_an_expired_id_token_is_refreshed_silently(client, oidc):
    sign_in(client)
    expire_id_token()
    assert client.get("/auth/me").status_code == 200
    generations = list(ProviderToken.objects.order_by("generation"))
    assert [row.generation for row in generations] == [0, 1]
    assert generations[0].sealed_refresh_token == ""
    assert generations[1].expires_at > timezone.now() + timedelta(minutes=29)
    assert "accounts.refreshed" in actions()
    # The provider rotates: the next one needs the token that this one brought.
    expire_id_token()
    assert client.get("/auth/me").status_code == 200


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_ten_requests_at_once_refresh_once(client, oidc):
    sign_in(client)
    expire_id_token()
    cookie = client.cookies["sessionid"].value
    statuses = []

    def ask():
        other = Client()
        other.cookies["sessionid"] = cookie
        statuses.append(other.get("/auth/me").status_code)
        connection.close()

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 10
    assert ProviderToken.objects.count() == 2


def test_reuse_of_the_providers_old_refresh_token_ends_the_sign_in(client, oidc):
    sign_in(client)
    row = ProviderToken.objects.get()
    old = row.sealed_refresh_token
    expire_id_token()
    assert client.get("/auth/me").status_code == 200
    # Somebody restored the old row, or a thief used it: the provider sees the old token again and ends the grant.
    ProviderToken.objects.filter(replaced_at=None).update(
        sealed_refresh_token=old, expires_at=timezone.now() - timedelta(seconds=1)
    )
    response = client.get("/auth/me")
    assert (response.status_code, response.json()["code"]) == (401, "sign_in_ended")
    assert response["WWW-Authenticate"].startswith("Bearer")
    assert SignIn.objects.get().revoked_because.startswith("refresh_refused")
    assert not ProviderToken.objects.exists()
    assert client.get("/auth/me").status_code == 401


def test_our_refresh_tokens_rotate_and_a_second_use_ends_everything(client, oidc):
    first = sign_in(client, response="token").json()
    second = client.post("/auth/refresh", {"refresh_token": first["refresh_token"]}, "application/json").json()
    assert client.get("/auth/me", headers=bearer_of(second["access_token"])).status_code == 200
    reused = client.post("/auth/refresh", {"refresh_token": first["refresh_token"]}, "application/json")
    assert (reused.status_code, reused.json()["code"]) == (401, "refresh_token_reused")
    assert "accounts.refresh_token.reused" in actions()
    for token in (first["access_token"], second["access_token"]):
        response = client.get("/auth/me", headers=bearer_of(token))
        assert (response.status_code, response.json()["code"]) == (401, "token_revoked")
    dead = client.post("/auth/refresh", {"refresh_token": second["refresh_token"]}, "application/json")
    assert (dead.status_code, dead.json()["code"]) == (401, "token_revoked")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"refresh_token": "psr_unknown"}, 401, "invalid_token"),
        ({"refresh_token": "x" * 199}, 401, "invalid_token"),
        ({"refresh_token": "x" * 5000}, 400, "invalid"),
        ({}, 401, "not_authenticated"),
        ({"refresh_token": "psr_x", "scope": "admin"}, 400, "invalid"),
    ],
)
def test_bad_refreshes_are_refused(client, db, body, status, code):
    response = client.post("/auth/refresh", body, "application/json")
    assert (response.status_code, response.json()["code"]) == (status, code)
    if status == 401:
        assert response["WWW-Authenticate"].startswith("Bearer")


def test_a_session_gets_an_access_token_only_with_its_csrf_token(oidc):
    client = Client(enforce_csrf_checks=True)
    sign_in(client)
    refused = client.post("/auth/refresh", {}, "application/json")
    assert refused.status_code == 403
    client.get("/admin/login/")
    csrf = client.cookies["csrftoken"].value
    response = client.post("/auth/refresh", {}, "application/json", headers={"X-CSRFToken": csrf})
    assert response.status_code == 200
    assert Client().get("/auth/me", headers=bearer_of(response.json()["access_token"])).status_code == 200


def test_logout_ends_session_and_tokens(client, oidc):
    pair = sign_in(client, response="token").json()
    response = client.post("/auth/logout", {}, "application/json", headers=bearer_of(pair["access_token"]))
    assert response.status_code == 200
    assert response.json()["provider_logout_url"].startswith(f"{oidc.url}/session/end?")
    assert client.get("/auth/me", headers=bearer_of(pair["access_token"])).json()["code"] == "token_revoked"
    assert not ProviderToken.objects.exists()
    assert "accounts.signed_out" in actions()


def test_a_revoked_access_token_falls_alone_and_a_refresh_token_with_its_family(client, oidc):
    pair = sign_in(client, response="token").json()
    again = client.post("/auth/refresh", {"refresh_token": pair["refresh_token"]}, "application/json").json()
    assert client.post("/auth/revoke", {"token": pair["access_token"]}, "application/json").status_code == 200
    assert client.get("/auth/me", headers=bearer_of(pair["access_token"])).json()["code"] == "token_revoked"
    assert client.get("/auth/me", headers=bearer_of(again["access_token"])).status_code == 200
    for token in (again["refresh_token"], "unknown", "psr_unknown"):
        assert client.post("/auth/revoke", {"token": token}, "application/json").status_code == 200
    assert client.get("/auth/me", headers=bearer_of(again["access_token"])).json()["code"] == "token_revoked"
    assert client.post("/auth/revoke", {"token": ["x"]}, "application/json").status_code == 400


@pytest.mark.slow
def test_keys_roll_while_running(client, oidc, settings):
    settings.OIDC_JWKS_REFETCH_SECONDS = 10
    sign_in(client)
    oidc.roll_keys()
    # The cached set lacks the new key: it is fetched again, at once.
    assert sign_in(Client()).status_code == 302
    expire_id_token()
    response = client.get("/auth/me")
    assert response.status_code == 200, list(SignIn.objects.values("revoked_because"))


@pytest.mark.slow
def test_while_the_provider_is_down_sessions_live_on_until_their_half_hour(client, oidc, tmp_path, settings):
    other = start_oidc_provider(tmp_path, redirect_uris=["http://testserver/auth/callback"])
    settings.OIDC_PROVIDERS = [other.settings]
    sign_in(client)
    pair = sign_in(Client(), response="token").json()
    other.stop()
    assert client.get("/auth/me").status_code == 200
    assert client.get("/auth/me", headers=bearer_of(pair["access_token"])).status_code == 200
    expire_id_token()
    response = client.get("/auth/me")
    assert (response.status_code, response.json()["code"]) == (401, "sign_in_stale")
    assert response["WWW-Authenticate"].startswith("Bearer")
    refresh = client.post("/auth/refresh", {"refresh_token": pair["refresh_token"]}, "application/json")
    assert (refresh.status_code, refresh.json()["code"]) == (503, "provider_unavailable")
    assert refresh["Retry-After"]
    assert client.get("/auth/login").status_code in {302, 503}
    # It comes back under the same address: nothing was thrown away meanwhile.
    assert SignIn.objects.filter(revoked_at=None).count() == 2


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_the_providers_logout_ends_the_session(live_server, settings, tmp_path):
    provider = start_oidc_provider(
        tmp_path,
        redirect_uris=[f"{live_server.url}/auth/callback"],
        backchannel_logout_uri=f"{live_server.url}/auth/backchannel-logout",
    )
    settings.PUBLIC_URL = live_server.url
    settings.OIDC_PROVIDERS = [provider.settings]
    cache.clear()
    try:
        browser, at_provider = requests.Session(), requests.Session()
        start = browser.get(f"{live_server.url}/auth/login", allow_redirects=False, timeout=20)
        back = authorize(start.headers["Location"], person="local-citizen", browser=at_provider)
        assert browser.get(back, allow_redirects=False, timeout=20).status_code == 302
        assert browser.get(f"{live_server.url}/auth/me", timeout=20).status_code == 200
        page = at_provider.get(f"{provider.url}/session/end", timeout=20)
        xsrf = page.text.split('name="xsrf" value="')[1].split('"')[0]
        done = at_provider.post(f"{provider.url}/session/end/confirm", data={"xsrf": xsrf, "logout": "yes"}, timeout=20)
        assert done.ok, done.text
        assert browser.get(f"{live_server.url}/auth/me", timeout=20).status_code == 401
        assert SignIn.objects.get().revoked_because == "provider_logout"
    finally:
        provider.stop()


def test_scripts_are_never_redirected(client, oidc):
    for headers in ({"X-Requested-With": "XMLHttpRequest"}, {"Sec-Fetch-Mode": "cors"}, {"Accept": "application/json"}):
        response = client.get("/admin/", headers=headers)
        assert response.status_code == 401
        assert response["WWW-Authenticate"].startswith("Bearer")
        assert response["Content-Type"] == "application/problem+json"
    assert client.get("/admin/", headers={"Accept": "text/html"}).status_code == 302
