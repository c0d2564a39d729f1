"""Providers by configuration: what is unsafe is refused, several are kept apart."""

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.services.providers import parse_providers


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
