"""The configured eID providers: their metadata (discovery) and their keys, cached and fetched again when needed."""

import re
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import quote_plus

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured

from accounts.exceptions import ProviderUnavailable, SignInRefused, UnknownProvider
from accounts.services.provider_http import Answer, call_provider, check_url

# Which kind of key each algorithm takes; nothing symmetric, nothing by SHA-1, no `none`.
KEY_TYPES = {
    "RS256": ("RSA", None), "RS384": ("RSA", None), "RS512": ("RSA", None),
    "PS256": ("RSA", None), "PS384": ("RSA", None), "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"), "ES384": ("EC", "P-384"), "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}  # fmt: skip
SMALLEST_RSA_BITS = 2048
METADATA_SECONDS = 3600
# How long a provider that failed is not asked again, so that no queue of workers waits for it.
REST_SECONDS = 5


@dataclass(frozen=True)
class Provider:
    """One entry of OIDC_PROVIDERS."""

    name: str
    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    label: str = ""
    scope: str = "openid email"
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    token_endpoint_auth_method: str = "client_secret_basic"  # noqa: S105
    # Levels of assurance: asked for, and then required in the ID token.
    acr_values: tuple[str, ...] = ()
    extra_params: Mapping[str, str] = field(default_factory=dict)


def parse_providers(entries: list[dict[str, Any]]) -> dict[str, Provider]:
    """Check the configuration of providers; the error names the entry, never a secret."""
    providers: dict[str, Provider] = {}
    if not isinstance(entries, list):
        raise ImproperlyConfigured("OIDC_PROVIDERS is not a JSON list")
    for index, entry in enumerate(entries):
        where = f"OIDC_PROVIDERS[{index}]"
        known = set(Provider.__dataclass_fields__)
        if not isinstance(entry, dict) or set(entry) - known or {"name", "issuer", "client_id"} - set(entry):
            raise ImproperlyConfigured(
                f"{where} needs name, issuer and client_id, and takes {', '.join(sorted(known))}"
            )
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()
        }
        provider = Provider(**values)
        if not re.fullmatch(r"[a-z0-9-]{1,50}", provider.name) or provider.name in providers:
            raise ImproperlyConfigured(f"{where}: the name must be unique, of small letters, digits and hyphens")
        if set(provider.algorithms) - set(KEY_TYPES) or not provider.algorithms:
            raise ImproperlyConfigured(f"{where}: only asymmetric algorithms: {', '.join(KEY_TYPES)}")
        if provider.token_endpoint_auth_method not in {"client_secret_basic", "client_secret_post", "none"}:
            raise ImproperlyConfigured(f"{where}: token_endpoint_auth_method is not supported")
        if "openid" not in provider.scope.split():
            raise ImproperlyConfigured(f"{where}: the scope must contain openid")
        try:
            check_url(provider.issuer)
        except SignInRefused as error:
            raise ImproperlyConfigured(f"{where}: the issuer must be an https address") from error
        providers[provider.name] = provider
    return providers


def list_providers() -> list[Provider]:
    """List the configured providers, the default first."""
    return list(parse_providers(settings.OIDC_PROVIDERS).values())


def get_provider(name: str | None = None) -> Provider:
    """Return a provider by its name, or the first."""
    providers = parse_providers(settings.OIDC_PROVIDERS)
    found = providers.get(name) if name else next(iter(providers.values()), None)
    if found is None:
        raise UnknownProvider
    return found


def get_provider_of_issuer(issuer: Any) -> Provider | None:
    return next((provider for provider in list_providers() if provider.issuer == issuer), None)


def cache_key(provider: Provider, what: str) -> str:
    return f"oidc:{what}:{sha256(provider.issuer.encode()).hexdigest()[:32]}"


def ask(provider: Provider, method: str, url: str, **options: Any) -> Answer:
    """Call a provider, unless it failed a moment ago."""
    resting = cache_key(provider, "resting")
    if cache.get(resting):
        raise ProviderUnavailable
    try:
        return call_provider(method, url, **options)
    except ProviderUnavailable:
        cache.set(resting, True, REST_SECONDS)
        raise


def get_metadata(provider: Provider) -> dict[str, Any]:
    """Return the provider's metadata (OpenID Connect Discovery 1.0), checked, from the cache for an hour."""
    key = cache_key(provider, "metadata")
    metadata: dict[str, Any] | None = cache.get(key)
    if metadata is None:
        answer = ask(provider, "GET", provider.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if answer.status != 200:
            raise ProviderUnavailable
        metadata = check_metadata(provider, answer.json_object())
        cache.set(key, metadata, METADATA_SECONDS)
    return metadata


def check_metadata(provider: Provider, metadata: dict[str, Any]) -> dict[str, Any]:
    if metadata.get("issuer") != provider.issuer:
        raise SignInRefused("discovery_issuer", "The provider's metadata name another issuer.")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        check_url(metadata.get(name))
    for name in ("userinfo_endpoint", "revocation_endpoint", "end_session_endpoint"):
        if metadata.get(name) is not None:
            check_url(metadata[name])
    return metadata


def fetch_keys(provider: Provider) -> list[Any]:
    answer = ask(provider, "GET", get_metadata(provider)["jwks_uri"])
    keys = answer.json_object().get("keys") if answer.status == 200 else None
    if not isinstance(keys, list):
        raise SignInRefused("jwks_invalid", "The provider's JWK set is not one.")
    cache.set(cache_key(provider, "jwks"), keys, METADATA_SECONDS)
    return keys


def find_key(provider: Provider, *, algorithm: str, kid: str | None) -> Any:
    """Return the provider's key for a token, fetching the set again (rate-limited) when no key fits.

    Junk entries of the set are passed over. A token that names no key is accepted only where one key fits.
    """
    keys: list[Any] | None = cache.get(cache_key(provider, "jwks"))
    was_cached = keys is not None
    fitting = fitting_keys(keys if keys is not None else fetch_keys(provider), algorithm, kid)
    if not fitting and was_cached:
        fitting = fitting_keys(fetch_keys_again(provider), algorithm, kid)
    if len(fitting) != 1:
        raise SignInRefused("id_token_key", "No single key of the provider fits the token.")
    return fitting[0]


def fetch_keys_again(provider: Provider) -> list[Any]:
    """Fetch the keys, at most once in OIDC_JWKS_REFETCH_SECONDS; who comes meanwhile waits for that answer."""
    gate = cache_key(provider, "refetch")
    if cache.add(gate, "running", settings.OIDC_JWKS_REFETCH_SECONDS):
        try:
            return fetch_keys(provider)
        finally:
            cache.set(gate, "done", settings.OIDC_JWKS_REFETCH_SECONDS)
    deadline = time.monotonic() + settings.OIDC_TIMEOUT_SECONDS
    while cache.get(gate) == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    return cache.get(cache_key(provider, "jwks")) or []


def fitting_keys(keys: list[Any], algorithm: str, kid: str | None) -> list[Any]:
    return [key for jwk in keys if (key := public_key(jwk, algorithm)) and (kid is None or jwk.get("kid") == kid)]


def public_key(jwk: Any, algorithm: str) -> Any:
    """Return a JWK's key where it may verify by this algorithm, else None."""
    kty, curve = KEY_TYPES[algorithm]
    if not isinstance(jwk, dict) or jwk.get("kty") != kty or (curve and jwk.get("crv") != curve):
        return None
    if jwk.get("use", "sig") != "sig" or jwk.get("alg", algorithm) != algorithm or "d" in jwk:
        return None
    if "verify" not in jwk.get("key_ops", ["verify"]):
        return None
    try:
        key: Any = jwt.PyJWK(jwk, algorithm=algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < SMALLEST_RSA_BITS:
        return None
    return key


def call_token_endpoint(provider: Provider, form: dict[str, str], *, endpoint: str = "token_endpoint") -> Answer:
    """Post a form with the client's authentication (RFC 6749, section 2.3.1)."""
    headers = {}
    if provider.token_endpoint_auth_method == "client_secret_basic":  # noqa: S105
        pair = f"{quote_plus(provider.client_id)}:{quote_plus(provider.client_secret)}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    else:
        form = {**form, "client_id": provider.client_id}
        if provider.token_endpoint_auth_method == "client_secret_post":  # noqa: S105
            form["client_secret"] = provider.client_secret
    return ask(provider, "POST", get_metadata(provider)[endpoint], headers=headers, form=form)
