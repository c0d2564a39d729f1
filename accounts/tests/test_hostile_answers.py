"""Metadata, userinfo and answers that lie, fail or are slow; states that are old or spent."""

import time

import pytest
from django.test import Client

from accounts.models import SignIn
from accounts.tests.conftest import sign_in_hostile
from accounts.tests.refusals import assert_refused


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        # oidcc-client-test-discovery-issuer-mismatch
        ({"issuer": "https://other.example"}, "discovery_issuer"),
        ({"issuer": None}, "discovery_issuer"),
        ({"token_endpoint": "http://eid.example/token"}, "provider_address_refused"),
        ({"jwks_uri": "file:///etc/passwd"}, "provider_address_refused"),
        ({"jwks_uri": "http://169.254.169.254/latest"}, "provider_address_refused"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "provider_address_refused"),
        ({"userinfo_endpoint": 7}, "provider_address_refused"),
        ({"token_endpoint": None}, "provider_address_refused"),
    ],
)
def test_metadata_that_lie_are_refused(client, hostile, metadata, code):
    hostile.metadata = metadata
    response = client.get("/auth/login")
    assert (response.status_code, response.json()["code"]) == (401, code)
    assert "oidc_states" not in client.session


@pytest.mark.parametrize(
    ("userinfo", "code"),
    [
        # oidcc-client-test-userinfo-invalid-sub
        ({"sub": "another", "email": "admin@example.org", "email_verified": True}, "userinfo_subject"),
        ({}, "userinfo_subject"),
        ([], "provider_answer_invalid"),
    ],
)
def test_userinfo_about_somebody_else_is_refused(client, hostile, userinfo, code):
    hostile.userinfo = userinfo
    assert_refused(sign_in_hostile(client, hostile), code)


def test_userinfo_of_another_type_is_refused(client, hostile):
    hostile.raw["/me"] = (200, "application/jwt", b"a.b.c")
    assert_refused(sign_in_hostile(client, hostile), "userinfo_invalid")


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ({"access_token": None}, "token_answer_invalid"),
        ({"access_token": 7}, "token_answer_invalid"),
        ({"token_type": None}, "token_answer_invalid"),
        ({"token_type": "mac"}, "token_answer_invalid"),
        ({"refresh_token": ["x"]}, "token_answer_invalid"),
    ],
)
def test_a_token_answer_of_the_wrong_shape_is_refused(client, hostile, answer, code):
    hostile.token_answer = answer
    assert_refused(sign_in_hostile(client, hostile), code)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"null", b"\xff\xfe"])
def test_an_answer_that_is_no_json_object_is_refused(client, hostile, body):
    hostile.raw["/token"] = (200, "application/json", body)
    assert_refused(sign_in_hostile(client, hostile), "provider_answer_invalid")


@pytest.mark.parametrize("issuer", ["https://other.example", ""])
def test_an_answer_from_another_issuer_is_refused(client, hostile, issuer):
    """RFC 9207: a foreign `iss`, or none where the provider promised one."""
    hostile.metadata = {"authorization_response_iss_parameter_supported": True}
    assert sign_in_hostile(client, hostile, iss=issuer or None).json()["code"] == "response_issuer"
    assert hostile.calls.get("/token") is None
    assert not SignIn.objects.exists()


def test_a_state_is_spent_by_a_refusal(client, hostile):
    hostile.claims = {"nonce": "other"}
    assert sign_in_hostile(client, hostile).status_code == 401
    assert client.session["oidc_states"] == {}


def test_an_old_state_is_refused(client, hostile):
    client.get("/auth/login")
    session = client.session
    (state,) = session["oidc_states"]
    session["oidc_states"][state]["added_on"] = time.time() - 601
    session.save()
    response = client.get("/auth/callback", {"code": "x", "state": state})
    assert (response.status_code, response.json()["code"]) == (400, "state_expired")


def test_a_provider_that_fails_is_unavailable_and_rests(client, hostile):
    hostile.raw["/token"] = (500, "text/html", b"oops")
    response = sign_in_hostile(client, hostile)
    assert (response.status_code, response.json()["code"]) == (503, "provider_unavailable")
    assert response["Retry-After"]
    started = hostile.calls["/token"]
    assert sign_in_hostile(Client(), hostile).status_code == 503
    assert hostile.calls["/token"] == started


@pytest.mark.slow
@pytest.mark.parametrize("way", ["slow", "dripping"])
def test_a_slow_provider_holds_no_worker(client, hostile, settings, way):
    settings.OIDC_TIMEOUT_SECONDS = 0.5
    if way == "slow":
        hostile.slow["/token"] = 8
    else:
        hostile.dripping.add("/token")
    started = time.monotonic()
    response = sign_in_hostile(client, hostile)
    assert response.status_code == 503
    # The dripping answer would take more than 80 seconds.
    assert time.monotonic() - started < 7


def test_redirects_of_a_provider_are_not_followed(client, hostile):
    hostile.raw["/token"] = (302, "text/plain", b"")
    assert_refused(sign_in_hostile(client, hostile), "code_refused")
