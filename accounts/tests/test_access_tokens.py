"""Access tokens: what is accepted, and what is not."""

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.utils import timezone

from accounts import exceptions
from accounts.services import authenticate_bearer, check_access_token, generate_signing_key, revoke_access_token
from accounts.services.keys import load_keys, signing_keys
from accounts.tests.factories import SignInFactory, UserFactory, access_token

pytestmark = pytest.mark.django_db


def test_a_token_names_its_key_and_its_user(django_assert_num_queries):
    user = UserFactory(role="admin")
    token = access_token(user)
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "kid": signing_keys()[0].kid, "typ": "JWT"}
    with django_assert_num_queries(1):
        found, claims = check_access_token(token)
    assert found == user
    assert claims["admin"] is True
    assert claims["exp"] - claims["iat"] == 30 * 60


def test_a_deactivated_user_is_refused_at_once():
    user = UserFactory()
    token = access_token(user)
    user.is_active = False
    user.save()
    with pytest.raises(exceptions.UserDeactivated):
        authenticate_bearer(token)


def test_a_token_is_revoked_by_its_jti_and_by_its_family():
    user = UserFactory()
    first, second = access_token(user), access_token(user)
    revoke_access_token(claims=check_access_token(first)[1])
    with pytest.raises(exceptions.TokenRevoked):
        authenticate_bearer(first)
    assert authenticate_bearer(second) == user
    user.sign_ins.update(revoked_at=timezone.now())
    with pytest.raises(exceptions.TokenRevoked):
        authenticate_bearer(second)


def forged(**changes):
    """A correct payload, for signing in wrong ways."""
    sign_in = SignInFactory()
    now = int(timezone.now().timestamp())
    payload = {
        "sub": str(sign_in.user_id), "sid": str(sign_in.pk), "jti": "0" * 32, "token_type": "access",
        "iat": now, "exp": now + 60, "aud": "psephos", "iss": "http://localhost:8000",
    }  # fmt: skip
    payload.update(changes)
    return {name: value for name, value in payload.items() if value is not None}


def signed(payload, **headers):
    key = signing_keys()[0]
    return jwt.encode(payload, key.private, algorithm="EdDSA", headers={"kid": key.kid, **headers})


def test_the_forging_helper_makes_acceptable_tokens():
    authenticate_bearer(signed(forged()))


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"}, {"aud": None}, {"iss": "https://other.example"}, {"iss": None}, {"sub": None}, {"jti": None},
        {"exp": None}, {"iat": None}, {"sid": None}, {"sid": 7}, {"sub": "not-a-uuid"}, {"token_type": "refresh"},
        {"token_type": None}, {"sid": "00000000-0000-0000-0000-000000000000"}, {"nbf": 4102444800},
    ],
)  # fmt: skip
def test_a_token_with_a_wrong_claim_is_refused(changes):
    with pytest.raises(exceptions.InvalidToken):
        authenticate_bearer(signed(forged(**changes)))


def test_an_expired_token_has_a_code_of_its_own():
    with pytest.raises(exceptions.TokenExpired):
        authenticate_bearer(signed(forged(exp=int(timezone.now().timestamp()) - 1)))


def test_tokens_signed_otherwise_are_refused():
    key = signing_keys()[0]
    pem = key.public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    der = key.public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    other = load_keys((generate_signing_key(),), "")[0]
    hmac = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    good = signed(forged())
    body = good.split(".")[1]

    def hs256(secret):
        head = jwt.utils.base64url_encode(b'{"alg":"HS256","kid":"%s"}' % key.kid.encode()).decode()
        signature = jwt.utils.base64url_encode(hmac.sign(f"{head}.{body}".encode(), secret)).decode()
        return f"{head}.{body}.{signature}"

    bad = [
        jwt.encode(forged(), None, algorithm="none", headers={"kid": key.kid}),
        hs256(pem),
        hs256(der),
        jwt.encode(forged(), other.private, algorithm="EdDSA", headers={"kid": key.kid}),
        jwt.encode(forged(), other.private, algorithm="EdDSA", headers={"kid": other.kid}),
        jwt.encode(forged(), key.private, algorithm="EdDSA"),
        signed(forged(), crit=["exp"]),
        good[:-4] + "AAAA",
        good + "A" * 1_000_000,
        "a.b.c",
        "é.b.c",
        "",
    ]
    for token in bad:
        with pytest.raises(exceptions.InvalidToken):
            authenticate_bearer(token)


def test_keys_roll_without_ending_sessions():
    old, new = generate_signing_key(), generate_signing_key()
    user = UserFactory()
    with override_settings(AUTH_SIGNING_KEYS=[old]):
        token = access_token(user)
    with override_settings(AUTH_SIGNING_KEYS=[new, old]):
        assert authenticate_bearer(token) == user
        assert jwt.get_unverified_header(access_token(user))["kid"] == load_keys((new,), "")[0].kid
    with override_settings(AUTH_SIGNING_KEYS=[new]), pytest.raises(exceptions.InvalidToken):
        authenticate_bearer(token)


def test_a_key_that_cannot_be_read_is_named_without_its_value():
    with pytest.raises(ImproperlyConfigured, match="AUTH_SIGNING_KEYS") as caught:
        load_keys(("c2VjcmV0",), "")
    assert "c2VjcmV0" not in str(caught.value)
