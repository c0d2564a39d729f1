"""What a process refuses to start with."""

import json
import subprocess
import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.services import check_configuration
from deploy.local.lint import plain_environment, production_environment
from deploy.local.services import ROOT


def provider(**changes):
    return {"name": "eid", "issuer": "https://eid.example", "client_id": "x", **changes}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AUTH_SIGNING_KEYS", ["c2VjcmV0"]),
        ("AUTH_SIGNING_KEYS", ["/nowhere/key.pem"]),
        ("TOKEN_ENCRYPTION_KEYS", ["c2VjcmV0"]),
        ("OIDC_PROVIDERS", {}),
        ("OIDC_PROVIDERS", ["eid"]),
        ("OIDC_PROVIDERS", [provider(issuer="http://eid.example")]),
        ("OIDC_PROVIDERS", [provider(algorithms=["HS256"])]),
        ("OIDC_PROVIDERS", [provider(), provider()]),
    ],
)
def test_an_unsafe_setting_is_named_without_its_value(settings, name, value):
    setattr(settings, name, value)
    with pytest.raises(ImproperlyConfigured, match=name) as caught:
        check_configuration()
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("issuer", ["https://eid.example", "http://127.0.0.1:9000"])
def test_production_takes_providers_with_tls_only(issuer):
    environment = {**plain_environment(), **production_environment()}
    environment["OIDC_PROVIDERS"] = json.dumps([provider(issuer=issuer)])
    start = [sys.executable, "-c", "import django; django.setup()"]
    done = subprocess.run(start, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode == 0) == issuer.startswith("https"), done.stderr
    assert ("OIDC_PROVIDERS[0]" in done.stderr) == issuer.startswith("http:")
