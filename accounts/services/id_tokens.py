"""Validation of a provider's ID tokens and logout tokens (OpenID Connect Core 1.0, sections 3.1.3.7 and 12.2)."""

import hashlib
import hmac
import json
from base64 import urlsafe_b64encode
from typing import Any, NoReturn

import jwt
from django.utils import timezone
from jwt.utils import base64url_decode

from accounts.exceptions import LogoutTokenRefused, SignInRefused
from accounts.services.providers import Provider, find_key

LONGEST_TOKEN = 16_384
CLOCK_SKEW_SECONDS = 60
OLDEST_SECONDS = 600
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


def unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a JSON object that names a member twice: readers differ in which one they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("doubled member")
    return found


def verify_signature(provider: Provider, token: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims of a token that a key of the provider signed by an allowed algorithm."""
    if not isinstance(token, str) or not token:
        raise SignInRefused("id_token_missing", "The provider sent no token.")
    if len(token) > LONGEST_TOKEN:
        raise SignInRefused("id_token_too_long", "The token is too long.")
    try:
        header_part, _, _ = token.split(".")
        header = json.loads(base64url_decode(header_part), object_pairs_hook=unique_members)
    except (ValueError, RecursionError) as error:
        raise SignInRefused("id_token_malformed", "The token is not a signed JWT.") from error
    algorithm = header.get("alg") if isinstance(header, dict) else None
    if algorithm not in provider.algorithms:
        raise SignInRefused("id_token_algorithm", "The token is not signed by an allowed algorithm.")
    if "crit" in header or "b64" in header:
        raise SignInRefused("id_token_critical_header", "The token's header has extensions that are not understood.")
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise SignInRefused("id_token_malformed", "The token's kid is not a string.")
    key = find_key(provider, algorithm=algorithm, kid=kid)
    try:
        payload = jwt.PyJWS().decode(token, key, algorithms=[algorithm])
        claims = json.loads(payload, object_pairs_hook=unique_members)
    except jwt.InvalidSignatureError as error:
        raise SignInRefused("id_token_signature", "The token's signature is wrong.") from error
    except (jwt.PyJWTError, ValueError, RecursionError, TypeError) as error:
        raise SignInRefused("id_token_malformed", "The token is not a signed JWT.") from error
    if not isinstance(claims, dict):
        raise SignInRefused("id_token_malformed", "The token's claims are not an object.")
    return header, claims


def is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e11


def check_common_claims(provider: Provider, claims: dict[str, Any]) -> None:
    """Check `iss`, `aud`, `azp`, `exp`, `iat` and `nbf`, which all of a provider's tokens carry alike."""
    if claims.get("iss") != provider.issuer:
        raise SignInRefused("id_token_issuer", "The token is from another issuer.")
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    # Another audience could use the token too, and we trust none.
    if not isinstance(audiences, list) or not audiences or any(item != provider.client_id for item in audiences):
        raise SignInRefused("id_token_audience", "The token is not for us alone.")
    if "azp" in claims and claims["azp"] != provider.client_id:
        raise SignInRefused("id_token_authorized_party", "The token was issued to another party.")
    now = timezone.now().timestamp()
    if not is_time(claims.get("iat")):
        raise SignInRefused("id_token_issued_at", "The token does not say when it was issued.")
    if claims["iat"] > now + CLOCK_SKEW_SECONDS:
        raise SignInRefused("id_token_issued_at", "The token was issued in the future.")
    if claims["iat"] < now - OLDEST_SECONDS - CLOCK_SKEW_SECONDS:
        raise SignInRefused("id_token_issued_at", "The token was issued too long ago.")
    if "nbf" in claims and not (is_time(claims["nbf"]) and claims["nbf"] <= now + CLOCK_SKEW_SECONDS):
        raise SignInRefused("id_token_not_before", "The token is not valid yet.")
    if not is_time(claims.get("exp")):
        raise SignInRefused("id_token_expires", "The token does not say when it expires.")
    if claims["exp"] <= now - CLOCK_SKEW_SECONDS:
        raise SignInRefused("id_token_expired", "The token has expired.")


def check_subject(claims: dict[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        raise SignInRefused("id_token_subject", "The token does not say whom it is about.")
    return subject


def check_access_token_hash(header: dict[str, Any], claims: dict[str, Any], access_token: str) -> None:
    """Check `at_hash` where it is present; Ed25519 hashes by SHA-512."""
    if "at_hash" not in claims:
        return
    algorithm = header["alg"]
    digest = HASHES["512" if algorithm == "EdDSA" else algorithm[-3:]](access_token.encode()).digest()
    expected = urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
    if not is_same(claims["at_hash"], expected):
        raise SignInRefused("id_token_at_hash", "The token belongs to another access token.")


def is_same(given: Any, expected: str) -> bool:
    return isinstance(given, str) and hmac.compare_digest(given.encode(), expected.encode())


def validate_id_token(*, provider: Provider, token: Any, nonce: str, access_token: str) -> dict[str, Any]:
    """Return the claims of an ID token that ends a sign-in which we started with this nonce."""
    header, claims = verify_signature(provider, token)
    check_common_claims(provider, claims)
    check_subject(claims)
    if not is_same(claims.get("nonce"), nonce):
        raise SignInRefused("id_token_nonce", "The token answers another sign-in.")
    check_access_token_hash(header, claims, access_token)
    if provider.acr_values and claims.get("acr") not in provider.acr_values:
        raise SignInRefused("id_token_assurance", "The sign-in does not reach the level of assurance asked for.")
    return claims


def validate_refreshed_id_token(
    *, provider: Provider, token: Any, subject: str, access_token: str, nonce: str | None = None
) -> dict[str, Any]:
    """Return the claims of an ID token that came with a refresh: it must be about the same person."""
    header, claims = verify_signature(provider, token)
    check_common_claims(provider, claims)
    if check_subject(claims) != subject:
        raise SignInRefused("id_token_subject", "The refreshed token is about another person.")
    if "nonce" in claims and nonce is not None and not is_same(claims["nonce"], nonce):
        raise SignInRefused("id_token_nonce", "The refreshed token answers another sign-in.")
    check_access_token_hash(header, claims, access_token)
    return claims


def is_logout_type(typ: Any) -> bool:
    return str(typ).lower().removeprefix("application/") in {"logout+jwt", "jwt"}


def validate_logout_token(*, provider: Provider, token: Any) -> dict[str, Any]:
    """Return the claims of a logout token (OpenID Connect Back-Channel Logout 1.0, section 2.6)."""

    def refuse(code: str, detail: str) -> NoReturn:
        raise LogoutTokenRefused(code, detail)

    try:
        header, claims = verify_signature(provider, token)
        check_common_claims(provider, claims)
        if "sub" in claims:
            check_subject(claims)
    except SignInRefused as error:
        raise LogoutTokenRefused(error.code.replace("id_token", "logout_token"), str(error.detail)) from error
    if header.get("typ") is not None and not is_logout_type(header["typ"]):
        refuse("logout_token_type", "The token is of another type.")
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(LOGOUT_EVENT), dict):
        refuse("logout_token_events", "The token does not announce a logout.")
    if "nonce" in claims:
        refuse("logout_token_nonce", "An ID token is not a logout token.")
    if not isinstance(claims.get("jti"), str) or not claims["jti"]:
        refuse("logout_token_id", "The token has no id.")
    if "sub" not in claims and not (isinstance(claims.get("sid"), str) and claims["sid"]):
        refuse("logout_token_subject", "The token names neither a person nor a session.")
    return claims
