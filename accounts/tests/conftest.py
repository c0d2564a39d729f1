"""The real provider, the hostile one, and a person who goes through their pages."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.core.cache import cache
from django.test import Client

from accounts.tests.hostile import HostileProvider
from deploy.local.oidc import PASSWORD, OidcProvider, start_oidc_provider

PUBLIC_URL = "http://testserver"


@pytest.fixture(scope="session")
def oidc_session(tmp_path_factory: Any) -> Iterator[OidcProvider]:
    folder: Path = tmp_path_factory.mktemp("oidc")
    provider = start_oidc_provider(folder, redirect_uris=[f"{PUBLIC_URL}/auth/callback"])
    yield provider
    provider.stop()


@pytest.fixture
def oidc(oidc_session: OidcProvider, settings: Any, db: Any) -> OidcProvider:
    """The certified provider, as the only one that is configured."""
    settings.PUBLIC_URL = PUBLIC_URL
    settings.OIDC_PROVIDERS = [oidc_session.settings]
    cache.clear()
    return oidc_session


@pytest.fixture
def hostile(settings: Any, db: Any) -> Iterator[HostileProvider]:
    """A provider that lies when told to, as the only one that is configured."""
    with HostileProvider().running() as provider:
        settings.PUBLIC_URL = PUBLIC_URL
        settings.OIDC_PROVIDERS = [provider.settings]
        settings.OIDC_TIMEOUT_SECONDS = 5
        cache.clear()
        yield provider


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def authorize(url: str, *, person: str, browser: requests.Session | None = None) -> str:
    """Sign in on the provider's page and return the address that it sends the browser back to."""
    browser = browser or requests.Session()
    response = browser.get(url, allow_redirects=False, timeout=20)
    for _ in range(6):
        location = response.headers.get("Location")
        if location and urlsplit(location).path == "/auth/callback":
            return location
        if location:
            response = browser.get(requests.compat.urljoin(response.url, location), allow_redirects=False, timeout=20)
        else:
            form = {"person": person, "password": PASSWORD}
            response = browser.post(response.url, data=form, allow_redirects=False, timeout=20)
    raise AssertionError(f"the provider did not send the browser back: {response.status_code} {response.text[:300]}")


def sign_in(client: Client, person: str = "local-citizen", *, browser: Any = None, **parameters: str) -> Any:
    """Go through the whole flow; returns what the callback answers."""
    start = client.get("/auth/login", parameters)
    assert start.status_code == 302, start.content
    back = authorize(start["Location"], person=person, browser=browser)
    return client.get(back.removeprefix(PUBLIC_URL), headers={"Accept": "application/json"})


def sign_in_hostile(client: Client, provider: HostileProvider, **changes: Any) -> Any:
    """Start a sign-in at the hostile provider and come back with a code; `changes` replace the callback's query."""
    start = client.get("/auth/login", {"response": "token"})
    assert start.status_code == 302, start.content
    sent = query_of(start["Location"])
    provider.nonce = sent["nonce"]
    query = {"code": "a-code", "state": sent["state"], "iss": provider.issuer, **changes}
    query = {name: value for name, value in query.items() if value is not None}
    return client.get("/auth/callback", query, headers={"Accept": "application/json"})
