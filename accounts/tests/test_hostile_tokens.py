"""ID tokens and keys that a provider must not get away with: the OpenID Foundation's list, and more."""

import hashlib
import json
import time
from base64 import b64decode
from urllib.parse import unquote_plus

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.cache import cache
from django.test import Client

from accounts.models import Identity, SignIn, User
from accounts.tests.conftest import sign_in_hostile
from accounts.tests.hostile import CLIENT_ID, CLIENT_SECRET, EC_KEY, ED_KEY, RSA_KEYS, half_hash, jwk_of
from accounts.tests.refusals import HOUR, NOW, assert_refused, correct_claims, encode, hs256, pem_and_der


def test_the_correct_answer_is_accepted(client, hostile):
    assert sign_in_hostile(client, hostile).status_code == 200
    assert Identity.objects.get().subject == "subject-1"
    scheme, _, value = hostile.form["authorization"].partition(" ")
    name, _, secret = b64decode(value).decode().partition(":")
    assert scheme == "Basic"
    assert (unquote_plus(name), unquote_plus(secret)) == (CLIENT_ID, CLIENT_SECRET)


BAD_CLAIMS = {
    "oidcc-client-test-invalid-iss": ({"iss": "https://other.example"}, "id_token_issuer"),
    "missing iss": ({"iss": None}, "id_token_issuer"),
    "iss with a slash more": ({"iss": "SLASH"}, "id_token_issuer"),
    "oidcc-client-test-missing-sub": ({"sub": None}, "id_token_subject"),
    "sub is a number": ({"sub": 7}, "id_token_subject"),
    "sub is empty": ({"sub": ""}, "id_token_subject"),
    "sub is too long": ({"sub": "x" * 256}, "id_token_subject"),
    "oidcc-client-test-missing-aud": ({"aud": None}, "id_token_audience"),
    "oidcc-client-test-invalid-aud": ({"aud": "other"}, "id_token_audience"),
    "aud without us": ({"aud": ["a", "b"]}, "id_token_audience"),
    "aud with another": ({"aud": [CLIENT_ID, "other"], "azp": CLIENT_ID}, "id_token_audience"),
    "aud is empty": ({"aud": []}, "id_token_audience"),
    "azp is another": ({"azp": "other"}, "id_token_authorized_party"),
    "oidcc-client-test-missing-iat": ({"iat": None}, "id_token_issued_at"),
    "iat is text": ({"iat": "now"}, "id_token_issued_at"),
    "iat is true": ({"iat": True}, "id_token_issued_at"),
    "iat in the future": ({"iat": NOW + HOUR}, "id_token_issued_at"),
    "iat long ago": ({"iat": NOW - HOUR}, "id_token_issued_at"),
    "missing exp": ({"exp": None}, "id_token_expires"),
    "exp is infinite": ({"exp": float("inf")}, "id_token_expires"),
    "expired": ({"exp": NOW - HOUR}, "id_token_expired"),
    "not valid yet": ({"nbf": NOW + HOUR}, "id_token_not_before"),
    "oidcc-client-test-nonce-invalid": ({"nonce": "other"}, "id_token_nonce"),
    "missing nonce": ({"nonce": None}, "id_token_nonce"),
    "nonce is a list": ({"nonce": ["x"]}, "id_token_nonce"),
    "oidcc-client-test-invalid-at-hash": ({"at_hash": half_hash("another")}, "id_token_at_hash"),
    "at_hash is null": ({"at_hash": 0}, "id_token_at_hash"),
}


@pytest.mark.parametrize(("claims", "code"), BAD_CLAIMS.values(), ids=BAD_CLAIMS)
def test_a_wrong_claim_is_refused(client, hostile, claims, code, caplog):
    if claims.get("iss") == "SLASH":
        claims = {"iss": hostile.issuer + "/"}
    hostile.claims = claims
    assert_refused(sign_in_hostile(client, hostile), code, client=client)
    assert not User.objects.exists()
    assert "sign-in refused" in caplog.text


def test_the_clock_may_be_off_by_a_minute(client, hostile):
    now = int(time.time())
    hostile.claims = {"iat": now + 50, "nbf": now + 50, "exp": now - 50}
    assert sign_in_hostile(client, hostile).status_code == 200


@pytest.mark.parametrize("secret", [*pem_and_der().values(), CLIENT_SECRET.encode()], ids=[*pem_and_der(), "client"])
def test_hs256_with_a_public_key_or_the_client_secret_is_refused(client, hostile, secret):
    hostile.id_token = lambda: hs256(
        {"iss": hostile.issuer, "aud": CLIENT_ID, "sub": "s", "iat": NOW, "exp": NOW + HOUR, "nonce": hostile.nonce},
        secret,
    )
    assert_refused(sign_in_hostile(client, hostile), "id_token_algorithm", client=client)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda p: None, "id_token_missing"),
        (lambda p: "", "id_token_missing"),
        (lambda p: 7, "token_answer_invalid"),
        (lambda p: "a.b", "id_token_malformed"),
        (lambda p: "a.b.c.d.e", "id_token_malformed"),
        (lambda p: "🙂.🙂.🙂", "id_token_malformed"),
        (lambda p: "A" * 100_000, "id_token_too_long"),
        (lambda p: "A" * 1_000_000, "provider_answer_too_long"),
        # oidcc-client-test-idtoken-sig-none
        (lambda p: f"{encode({'alg': 'none'})}.{encode(correct_claims(p))}.", "id_token_algorithm"),
        (lambda p: f"{encode({'alg': 'NONE'})}.{encode(correct_claims(p))}.", "id_token_algorithm"),
        (lambda p: f"{encode({'alg': ['RS256']})}.{encode(correct_claims(p))}.x", "id_token_algorithm"),
        (lambda p: f"{encode(['alg'])}.{encode(correct_claims(p))}.x", "id_token_algorithm"),
        # oidcc-client-test-invalid-sig-rs256
        (lambda p: p.sign(correct_claims(p))[:-8] + "AAAAAAAA", "id_token_signature"),
        (lambda p: jwt.encode(correct_claims(p), RSA_KEYS[1], "RS256", headers={"kid": "first"}), "id_token_signature"),
        (lambda p: jwt.encode(correct_claims(p), RSA_KEYS[1], "RS256", headers={"kid": "other"}), "id_token_key"),
        (lambda p: jwt.encode(correct_claims(p), EC_KEY, "ES256", headers={"kid": "first"}), "id_token_key"),
        (
            lambda p: jwt.encode(
                correct_claims(p), RSA_KEYS[1], "RS256", headers={"kid": "x", "jwk": jwk_of(RSA_KEYS[1], "x")}
            ),
            "id_token_key",
        ),
        (lambda p: p.sign(correct_claims(p), crit=["exp"], exp=1), "id_token_critical_header"),
        (lambda p: f"{encode({'alg': 'RS256', 'kid': 7})}.{encode(correct_claims(p))}.AAAA", "id_token_malformed"),
        (lambda p: jwt.PyJWS().encode(b"[]", RSA_KEYS[0], "RS256", headers={"kid": "first"}), "id_token_malformed"),
        (lambda p: jwt.PyJWS().encode(b"\xff", RSA_KEYS[0], "RS256", headers={"kid": "first"}), "id_token_malformed"),
        (
            lambda p: jwt.PyJWS().encode(
                json.dumps(correct_claims(p)).replace("{", '{"sub": "admin", ', 1).encode(), RSA_KEYS[0], "RS256",
                headers={"kid": "first"},
            ),
            "id_token_malformed",
        ),
    ],
)  # fmt: skip
def test_a_token_that_is_none_is_refused(client, hostile, make, code):
    hostile.id_token = lambda: make(hostile)
    assert_refused(sign_in_hostile(client, hostile), code, client=client)


@pytest.mark.parametrize(
    ("key", "algorithm", "digest"),
    [
        (RSA_KEYS[0], "RS256", hashlib.sha256), (RSA_KEYS[0], "PS256", hashlib.sha256),
        (EC_KEY, "ES256", hashlib.sha256), (ED_KEY, "EdDSA", hashlib.sha512),
    ],
)  # fmt: skip
def test_each_allowed_algorithm_is_accepted_with_its_own_hash(client, hostile, key, algorithm, digest):
    hostile.jwks = {"keys": [jwk_of(key, "k")]}
    hostile.signing = {"key": key, "algorithm": algorithm, "headers": {"kid": "k"}}
    hostile.claims = {"at_hash": half_hash(hostile.access_token, digest)}
    assert sign_in_hostile(client, hostile).status_code == 200


def test_an_algorithm_that_is_not_configured_is_refused(client, hostile, settings):
    settings.OIDC_PROVIDERS = [{**hostile.settings, "algorithms": ["ES256"]}]
    assert_refused(sign_in_hostile(client, hostile), "id_token_algorithm")


def test_a_token_without_kid_is_accepted_only_where_one_key_fits(client, hostile):
    hostile.signing["headers"] = {}
    # oidcc-client-test-kid-absent-single-jwks
    hostile.jwks = {"keys": [jwk_of(RSA_KEYS[0], None), jwk_of(EC_KEY, None)]}
    assert sign_in_hostile(client, hostile).status_code == 200
    # oidcc-client-test-kid-absent-multiple-jwks
    cache.clear()
    SignIn.objects.all().delete()
    hostile.jwks = {"keys": [jwk_of(RSA_KEYS[0], "a"), jwk_of(RSA_KEYS[1], "b")]}
    assert_refused_alone(sign_in_hostile(Client(), hostile), "id_token_key")


def assert_refused_alone(response, code):
    assert (response.status_code, response.json()["code"]) == (401, code)


JUNK = [
    None, 7, "key", [], {}, {"kty": "oct", "kid": "first", "k": "c2VjcmV0"}, {"kty": "RSA", "kid": "first"},
    {"kty": "RSA", "kid": "first", "n": "!!", "e": "AQAB"}, {"kty": "EC", "kid": "first", "crv": "P-256"},
    {**jwk_of(RSA_KEYS[1], "first"), "use": "enc"}, {**jwk_of(RSA_KEYS[1], "first"), "alg": "RS512"},
    {**jwk_of(RSA_KEYS[1], "first"), "key_ops": ["encrypt"]},
    jwk_of(rsa.generate_private_key(public_exponent=65537, key_size=1024), "first"),
]  # fmt: skip


def test_junk_among_the_keys_is_passed_over(client, hostile):
    hostile.jwks = {"keys": [*JUNK, jwk_of(RSA_KEYS[0], "first")]}
    assert sign_in_hostile(client, hostile).status_code == 200


def test_a_weak_key_is_not_used(client, hostile):
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    hostile.jwks = {"keys": [jwk_of(weak, "first")]}
    hostile.signing["key"] = weak
    assert_refused(sign_in_hostile(client, hostile), "id_token_key")


@pytest.mark.parametrize("jwks", [None, [], {"keys": {}}, {"keys": []}, {"other": 1}])
def test_a_key_set_that_is_none_is_refused(client, hostile, jwks):
    hostile.jwks = jwks
    response = sign_in_hostile(client, hostile)
    assert response.status_code == 401
    assert not SignIn.objects.exists()


def test_unknown_kids_make_us_fetch_the_keys_once_in_a_while(client, hostile):
    assert sign_in_hostile(client, hostile).status_code == 200
    hostile.signing["headers"] = {"kid": "unknown"}
    for _ in range(4):
        assert_refused_alone(sign_in_hostile(Client(), hostile), "id_token_key")
    assert hostile.calls["/jwks"] == 2
    assert hostile.calls["/.well-known/openid-configuration"] == 1


def test_a_rolled_key_is_found_at_once(client, hostile):
    """oidcc-client-test-signing-key-rotation"""
    assert sign_in_hostile(client, hostile).status_code == 200
    hostile.jwks = {"keys": [jwk_of(RSA_KEYS[1], "second"), jwk_of(RSA_KEYS[0], "first")]}
    hostile.signing = {"key": RSA_KEYS[1], "algorithm": "RS256", "headers": {"kid": "second"}}
    assert sign_in_hostile(Client(), hostile).status_code == 200
