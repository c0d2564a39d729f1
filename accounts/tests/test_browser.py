"""One sign-in through the provider's page in Chromium, to the admin's dashboard and out again."""

import json
import subprocess
from pathlib import Path

import pytest
from django.core.cache import cache

from accounts.services import link_identity
from deploy.local.oidc import PASSWORD, start_oidc_provider

SCRIPT = Path(__file__).with_name("browser") / "sign_in.mjs"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.django_db(transaction=True)
def test_an_admin_signs_in_by_eid_and_reaches_the_dashboard(live_server, settings, tmp_path):
    provider = start_oidc_provider(tmp_path / "oidc", redirect_uris=[f"{live_server.url}/auth/callback"])
    settings.PUBLIC_URL = live_server.url
    settings.OIDC_PROVIDERS = [provider.settings]
    cache.clear()
    link_identity(email="admin@psephos.localhost", role="admin", issuer=provider.url, subject="local-admin")
    paths = ["/admin/accounts/user/", "/admin/accounts/user/add/", "/admin/accounts/signin/"]
    command = ["node", str(SCRIPT), live_server.url, "local-admin", PASSWORD, str(tmp_path), *paths]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=280)
    finally:
        provider.stop()
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["loginUrl"].startswith(f"{live_server.url}/admin/login/?next=/admin/")
    assert seen["providerUrl"].startswith(f"{provider.url}/interaction/")
    assert seen["charts"] == 4
    assert "CHAIN HEIGHT" in seen["figures"].upper()
    assert seen["pages"] == dict.fromkeys(paths, 200)
    # No script, style or image was refused by the policy, and none failed.
    assert seen["complaints"] == []
    assert seen["overflow"] <= 0
    assert seen["afterLogout"].startswith(f"{live_server.url}/admin/login/")
