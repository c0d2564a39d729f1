"""What a provider must not get away with: the OpenID Foundation's list for relying parties, and more."""

import hashlib
import json
import time
from base64 import b64decode, urlsafe_b64encode
from datetime import timedelta
from urllib.parse import unquote_plus

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.test import Client
from django.utils import timezone
from jwt.algorithms import HMACAlgorithm

from accounts.models import Identity, ProviderToken, RefreshToken, SignIn, User
from accounts.services.providers import parse_providers
from accounts.tests.conftest import query_of, sign_in_hostile
from accounts.tests.factories import IdentityFactory, SignInFactory, UserFactory
from accounts.tests.hostile import CLIENT_ID, CLIENT_SECRET, EC_KEY, ED_KEY, RSA_KEYS, half_hash, jwk_of
from audit.models import Entry

NOW = int(time.time())
HOUR = 3600


def assert_refused(response, code, *, client=None, status=401):
    """Refused by a code, with a challenge, logged and audited, and nothing else stored."""
    assert (response.status_code, response.json().get("code")) == (status, code), response.content
    assert response["Content-Type"] == "application/problem+json"
    if status == 401:
        assert response["WWW-Authenticate"].startswith("Bearer")
        entry = Entry.objects.get(action="accounts.sign_in.refused")
        assert entry.data == {"code": code, "provider": "hostile"}
    for model in (SignIn, ProviderToken, RefreshToken):
        assert not model.objects.exists()
    if client is not None:
        assert "_auth_user_id" not in client.session


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


def pem_and_der():
    public = RSA_KEYS[0].public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    pkcs1 = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    return {"pem": pem, "pem-stripped": pem.strip(), "der": der, "pkcs1": pkcs1}


def encode(part):
    return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def hs256(claims, secret, kid="first"):
    head = f"{encode({'alg': 'HS256', 'kid': kid})}.{encode(claims)}"
    signature = HMACAlgorithm(HMACAlgorithm.SHA256).sign(head.encode(), secret)
    return f"{head}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize("secret", [*pem_and_der().values(), CLIENT_SECRET.encode()], ids=[*pem_and_der(), "client"])
def test_hs256_with_a_public_key_or_the_client_secret_is_refused(client, hostile, secret):
    hostile.id_token = lambda: hs256(
        {"iss": hostile.issuer, "aud": CLIENT_ID, "sub": "s", "iat": NOW, "exp": NOW + HOUR, "nonce": hostile.nonce},
        secret,
    )
    assert_refused(sign_in_hostile(client, hostile), "id_token_algorithm", client=client)


def correct_claims(hostile, **changes):
    claims = {"iss": hostile.issuer, "aud": CLIENT_ID, "sub": "subject-1", "iat": NOW, "exp": NOW + HOUR}
    return claims | {"nonce": hostile.nonce} | changes


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


# --- who the person is ---


def test_a_person_is_issuer_and_subject_not_the_email(client, hostile):
    IdentityFactory(issuer=hostile.issuer, subject="subject-1", user__email="first@example.org")
    hostile.userinfo = {"sub": "subject-1", "email": "changed@example.org", "email_verified": True}
    assert sign_in_hostile(client, hostile).status_code == 200
    assert User.objects.count() == 1
    assert User.objects.get().email == "first@example.org"


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_email_that_is_not_verified_links_nobody(client, hostile, verified):
    known = UserFactory(email="known@example.org")
    hostile.userinfo = {"sub": "subject-1", "email": "known@example.org", "email_verified": verified}
    assert sign_in_hostile(client, hostile).status_code == 200
    user = SignIn.objects.get().user
    assert user != known
    assert user.email is None


def test_a_verified_email_links_a_citizen_and_never_staff(client, hostile):
    citizen = UserFactory(email="citizen@example.org")
    admin = UserFactory(email="admin@example.org", role="admin")
    hostile.userinfo = {"sub": "subject-1", "email": "Citizen@Example.org", "email_verified": True}
    assert sign_in_hostile(client, hostile).status_code == 200
    assert SignIn.objects.get().user == citizen
    hostile.claims = {"sub": "subject-2"}
    hostile.userinfo = {"sub": "subject-2", "email": "admin@example.org", "email_verified": True}
    assert sign_in_hostile(Client(), hostile).status_code == 200
    newcomer = SignIn.objects.get(subject="subject-2").user
    assert newcomer != admin
    assert (newcomer.role, newcomer.email) == ("citizen", None)


@pytest.mark.parametrize(
    "email",
    ["ａdmin@example.org", "admın@example.org", "a\u200bdmin@example.org", "admin@exampleſ.org", "ﬁ@example.org"],
)
@pytest.mark.parametrize("verified", [True, False])
def test_an_email_that_normalises_to_anothers_is_refused(client, hostile, email, verified):
    UserFactory(email="admin@example.org", role="admin")
    hostile.userinfo = {"sub": "subject-1", "email": email, "email_verified": verified}
    assert_refused(sign_in_hostile(client, hostile), "email_not_canonical")
    assert User.objects.count() == 1


def test_a_deactivated_person_is_refused(client, hostile):
    IdentityFactory(issuer=hostile.issuer, subject="subject-1", user__is_active=False)
    assert_refused(sign_in_hostile(client, hostile), "user_deactivated")


def test_two_first_sign_ins_make_one_person(client, hostile):
    assert sign_in_hostile(client, hostile).status_code == 200
    assert sign_in_hostile(Client(), hostile).status_code == 200
    assert User.objects.count() == 1
    assert SignIn.objects.count() == 2


def test_a_level_of_assurance_that_is_asked_for_is_required(client, hostile, settings):
    settings.OIDC_PROVIDERS = [{**hostile.settings, "acr_values": ["high"]}]
    hostile.claims = {"acr": "low"}
    assert_refused(sign_in_hostile(client, hostile), "id_token_assurance")
    hostile.claims = {"acr": "high"}
    assert sign_in_hostile(Client(), hostile).status_code == 200


# --- refresh ---


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


# --- back-channel logout ---

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
    doubled = f"{logout_token(hostile)}&logout_token={logout_token(hostile)}"
    assert post_logout(doubled).status_code == 400
    assert not SignIn.objects.exclude(revoked_at=None).exists()


# --- configuration ---


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "http://eid.example"},
        {"issuer": "ftp://eid.example"},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"scope": "email"},
        {"name": "Not A Name"},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"surprise": 1},
    ],
)
def test_a_configuration_that_is_not_safe_is_refused_by_its_place(change):
    entry = {"name": "eid", "issuer": "https://eid.example", "client_id": "x", "client_secret": "hidden", **change}
    with pytest.raises(ImproperlyConfigured, match=r"OIDC_PROVIDERS\[0\]") as caught:
        parse_providers([entry])
    assert "hidden" not in str(caught.value)


def test_http_on_loopback_is_for_development_only(settings):
    entry = {"name": "eid", "issuer": "http://127.0.0.1:9000", "client_id": "x"}
    assert parse_providers([entry])
    settings.OIDC_ALLOW_HTTP_ON_LOOPBACK = False
    with pytest.raises(ImproperlyConfigured):
        parse_providers([entry])


def test_several_providers_are_kept_apart(client, hostile, settings):
    settings.OIDC_PROVIDERS = [
        {"name": "other", "issuer": "https://other.example", "client_id": "x"},
        hostile.settings,
    ]
    response = client.get("/auth/login", {"provider": "hostile"})
    assert response["Location"].startswith(f"{hostile.issuer}/auth?")


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
