"""What the tests of hostile providers share: a refusal without effect, and tokens made by hand."""

import json
import time
from base64 import urlsafe_b64encode

from cryptography.hazmat.primitives import serialization
from jwt.algorithms import HMACAlgorithm

from accounts.models import ProviderToken, RefreshToken, SignIn
from accounts.tests.hostile import CLIENT_ID, RSA_KEYS
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


def correct_claims(hostile, **changes):
    claims = {"iss": hostile.issuer, "aud": CLIENT_ID, "sub": "subject-1", "iat": NOW, "exp": NOW + HOUR}
    return claims | {"nonce": hostile.nonce} | changes
