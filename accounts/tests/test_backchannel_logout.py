"""Logout tokens: good ones end what they name, bad ones nothing."""

import jwt
import pytest
from django.test import Client

from accounts.models import SignIn
from accounts.tests.factories import SignInFactory, UserFactory
from accounts.tests.hostile import CLIENT_ID, RSA_KEYS
from accounts.tests.refusals import HOUR, NOW, encode, hs256, pem_and_der
from audit.models import Entry

LOGOUT = {"http://schemas.openid.net/event/backchannel-logout": {}}


def logout_token(hostile, **changes):
    claims = {
        "iss": hostile.issuer, "aud": CLIENT_ID, "iat": NOW, "exp": NOW + HOUR, "jti": "one", "events": LOGOUT,
        "sub": "subject-1", "sid": "session-1", **changes,
    }  # fmt: skip
    return hostile.sign({name: value for name, value in claims.items() if value is not None}, typ="logout+jwt")


def post_logout(token):
    body = f"logout_token={token}"
    return Client().post("/auth/backchannel-logout", body, "application/x-www-form-urlencoded")


@pytest.fixture
def two_sessions(hostile):
    known = {"issuer": hostile.issuer, "subject": "subject-1", "provider": "hostile"}
    user = UserFactory()
    return [SignInFactory(user=user, provider_session=f"session-{number}", **known) for number in (1, 2)]


@pytest.mark.parametrize(("changes", "ended"), [({}, 1), ({"sid": None}, 2), ({"sub": None}, 1)])
def test_a_logout_token_ends_the_sessions_that_it_names(hostile, two_sessions, changes, ended):
    response = post_logout(logout_token(hostile, **changes))
    assert response.status_code == 200
    assert response["Cache-Control"] == "no-store"
    assert SignIn.objects.filter(revoked_because="provider_logout").count() == ended
    assert Entry.objects.filter(action="accounts.signed_out").count() == ended


def test_a_logout_token_works_once(hostile, two_sessions):
    token = logout_token(hostile)
    assert post_logout(token).status_code == 200
    again = post_logout(token)
    assert (again.status_code, again.json()["code"]) == (400, "logout_token_replayed")


BAD_LOGOUTS = {
    "wrong iss": ({"iss": "https://other.example"}, "logout_token_issuer"),
    "wrong aud": ({"aud": "other"}, "logout_token_audience"),
    "no aud": ({"aud": None}, "logout_token_audience"),
    "no iat": ({"iat": None}, "logout_token_issued_at"),
    "expired": ({"exp": NOW - HOUR}, "logout_token_expired"),
    "no exp": ({"exp": None}, "logout_token_expires"),
    "no jti": ({"jti": None}, "logout_token_id"),
    "no events": ({"events": None}, "logout_token_events"),
    "other event": ({"events": {"other": {}}}, "logout_token_events"),
    "event is no object": ({"events": {next(iter(LOGOUT)): 1}}, "logout_token_events"),
    "nobody": ({"sub": None, "sid": None}, "logout_token_subject"),
    "sub is a number": ({"sub": 7}, "logout_token_subject"),
    "a nonce": ({"nonce": "x"}, "logout_token_nonce"),
}


@pytest.mark.parametrize(("changes", "code"), BAD_LOGOUTS.values(), ids=BAD_LOGOUTS)
def test_a_bad_logout_token_ends_nothing(hostile, two_sessions, changes, code):
    response = post_logout(logout_token(hostile, **changes))
    assert (response.status_code, response.json()["code"]) == (400, code)
    assert not SignIn.objects.exclude(revoked_at=None).exists()


def test_a_forged_or_missing_logout_token_ends_nothing(hostile, two_sessions):
    claims = jwt.decode(logout_token(hostile), options={"verify_signature": False})
    forged = [
        f"{encode({'alg': 'none', 'typ': 'logout+jwt'})}.{encode(claims)}.",
        hs256(claims, pem_and_der()["der"]),
        jwt.encode(claims, RSA_KEYS[1], "RS256", headers={"kid": "first", "typ": "logout+jwt"}),
        hostile.sign(claims, typ="at+jwt"),
        "",
        "x",
        "x" * 20_000,
    ]
    for token in forged:
        assert post_logout(token).status_code == 400
    assert Client().post("/auth/backchannel-logout", {"logout_token": "x"}, "application/json").status_code == 415
    bodiless = Client().post("/auth/backchannel-logout", b"", "")
    assert (bodiless.status_code, bodiless.json()["code"]) == (400, "logout_token_missing")
    doubled = f"{logout_token(hostile)}&logout_token={logout_token(hostile)}"
    assert post_logout(doubled).status_code == 400
    assert not SignIn.objects.exclude(revoked_at=None).exists()
