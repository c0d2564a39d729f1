"""Refreshing at a provider that lies, leaves out, or is slow."""

from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from accounts.models import ProviderToken, SignIn
from accounts.tests.conftest import query_of, sign_in_hostile
from accounts.tests.hostile import half_hash
from accounts.tests.refusals import HOUR, NOW
from audit.models import Entry


def refresh(client, hostile):
    """Sign in, let the half hour pass, and use the session's API tokens again."""
    pair = sign_in_hostile(client, hostile).json()
    ProviderToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    return pair


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"iss": "https://other.example"}, "id_token_issuer"),
        ({"sub": "another"}, "id_token_subject"),
        ({"aud": "other"}, "id_token_audience"),
        ({"iat": None}, "id_token_issued_at"),
        ({"exp": NOW - HOUR}, "id_token_expired"),
        ({"at_hash": half_hash("another")}, "id_token_at_hash"),
    ],
)
def test_a_refreshed_token_that_is_wrong_ends_the_sign_in(client, hostile, claims, code):
    pair = refresh(client, hostile)
    hostile.claims = claims
    response = client.post("/auth/refresh", {"refresh_token": pair["refresh_token"]}, "application/json")
    assert (response.status_code, response.json()["code"]) == (401, "sign_in_ended")
    assert SignIn.objects.get().revoked_because == f"refresh_refused:{code}"
    assert not ProviderToken.objects.exists()
    assert Entry.objects.filter(action="accounts.signed_out").exists()


@pytest.mark.parametrize(
    "answer", [{"id_token": None}, {"refresh_token": None}, {"id_token": None, "refresh_token": None}]
)
def test_a_refresh_may_leave_out_what_did_not_change(client, hostile, answer):
    pair = refresh(client, hostile)
    hostile.token_answer = answer
    response = client.post("/auth/refresh", {"refresh_token": pair["refresh_token"]}, "application/json")
    assert response.status_code == 200
    assert ProviderToken.objects.filter(replaced_at=None).exclude(sealed_refresh_token="").count() == 1


def test_without_a_refresh_token_the_sign_in_ends_after_its_half_hour(client, hostile):
    hostile.token_answer = {"refresh_token": None}
    pair = refresh(client, hostile)
    response = client.post("/auth/refresh", {"refresh_token": pair["refresh_token"]}, "application/json")
    assert (response.status_code, response.json()["code"]) == (401, "sign_in_ended")
    assert hostile.calls["/token"] == 1


@pytest.mark.slow
def test_a_slow_refresh_answers_401_in_time_and_the_next_request_at_once(client, hostile, settings):
    start = client.get("/auth/login")
    sent = query_of(start["Location"])
    hostile.nonce = sent["nonce"]
    client.get("/auth/callback", {"code": "a-code", "state": sent["state"], "iss": hostile.issuer})
    assert client.get("/auth/me").status_code == 200
    ProviderToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    settings.OIDC_TIMEOUT_SECONDS = 0.5
    hostile.slow["/token"] = 8
    asked = hostile.calls["/token"]
    for _ in range(3):
        response = client.get("/auth/me")
        assert (response.status_code, response.json()["code"]) == (401, "sign_in_stale")
        assert response["WWW-Authenticate"].startswith("Bearer")
    # One request waited for the provider; the others were told at once that it rests.
    assert hostile.calls["/token"] == asked + 1
    hostile.slow.clear()
    cache.clear()
    assert client.get("/auth/me").status_code == 200
