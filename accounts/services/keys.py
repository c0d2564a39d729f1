"""The keys that sign our own tokens; the first signs, all of them verify."""

import base64
import binascii
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from joserfc.jwk import ECKey, OKPKey, RSAKey

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey | rsa.RSAPublicKey
SMALLEST_RSA_BITS = 2048


@dataclass(frozen=True)
class SigningKey:
    """A key with its algorithm and its id (the RFC 7638 thumbprint); `private` is None for a retired key."""

    kid: str
    algorithm: str
    private: PrivateKey | None
    public: PublicKey
    jwk: dict[str, Any]


def signing_keys() -> tuple[SigningKey, ...]:
    """Return the keys of AUTH_SIGNING_KEYS; without it, one derived from SECRET_KEY (production refuses that)."""
    return load_keys(tuple(settings.AUTH_SIGNING_KEYS), settings.SECRET_KEY)


def key_by_id(kid: str) -> SigningKey | None:
    return next((key for key in signing_keys() if key.kid == kid), None)


def published_jwks() -> dict[str, Any]:
    """Return the public halves as a JWK set (RFC 7517)."""
    return {"keys": [key.jwk for key in signing_keys()]}


def generate_signing_key() -> str:
    """Make a new Ed25519 key in the form that AUTH_SIGNING_KEYS takes (base64 of PEM)."""
    pem = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return base64.b64encode(pem).decode()


@lru_cache(maxsize=8)
def load_keys(entries: tuple[str, ...], secret_key: str) -> tuple[SigningKey, ...]:
    if not entries:
        seed = HKDF(hashes.SHA256(), length=32, salt=None, info=b"psephos access tokens").derive(secret_key.encode())
        return (describe(ed25519.Ed25519PrivateKey.from_private_bytes(seed)),)
    keys = tuple(describe(parse(entry)) for entry in entries)
    if keys[0].private is None:
        raise ImproperlyConfigured("the first of AUTH_SIGNING_KEYS must be a private key")
    return keys


def parse(entry: str) -> PrivateKey | PublicKey:
    """Read a key from a PEM file's path or from base64-encoded PEM."""
    try:
        pem = Path(entry).read_bytes() if entry.startswith(("/", "./")) else base64.b64decode(entry, validate=True)
        if b"PRIVATE" in pem:
            key: Any = serialization.load_pem_private_key(pem, password=None)
        else:
            key = serialization.load_pem_public_key(pem)
    except (OSError, ValueError, binascii.Error) as error:
        # Not the value: it may be the key itself.
        raise ImproperlyConfigured("an entry of AUTH_SIGNING_KEYS is neither a PEM file nor base64 of PEM") from error
    if not isinstance(key, PrivateKey | PublicKey):
        raise ImproperlyConfigured("AUTH_SIGNING_KEYS takes Ed25519, P-256 and RSA keys")
    return key


def describe(key: PrivateKey | PublicKey) -> SigningKey:
    private = key if isinstance(key, PrivateKey) else None
    public = key.public_key() if isinstance(key, PrivateKey) else key
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    jwk: Any
    if isinstance(public, ed25519.Ed25519PublicKey):
        algorithm, jwk = "EdDSA", OKPKey.import_key(pem)
    elif isinstance(public, ec.EllipticCurvePublicKey):
        if not isinstance(public.curve, ec.SECP256R1):
            raise ImproperlyConfigured("AUTH_SIGNING_KEYS takes P-256 among the elliptic curves with ECDSA")
        algorithm, jwk = "ES256", ECKey.import_key(pem)
    else:
        if public.key_size < SMALLEST_RSA_BITS:
            raise ImproperlyConfigured("AUTH_SIGNING_KEYS takes RSA keys of 2048 bits or more")
        algorithm, jwk = "RS256", RSAKey.import_key(pem)
    kid = jwk.thumbprint()
    described = {**jwk.as_dict(private=False), "kid": kid, "alg": algorithm, "use": "sig"}
    return SigningKey(kid=kid, algorithm=algorithm, private=private, public=public, jwk=described)
