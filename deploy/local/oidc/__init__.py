"""The local OpenID Connect provider: npm's certified `oidc-provider` with a citizen, a viewer and an admin."""

import json
import secrets
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

from deploy.local.services import Service, free_port, launch, wait_until

PROGRAM = Path(__file__).with_name("provider.mjs")
CLIENT_ID = "psephos"
# Known to everyone who reads this file: the provider listens on loopback and serves nobody else.
PASSWORD = "local-eid"
PEOPLE: tuple[dict[str, Any], ...] = tuple(
    {
        "sub": f"local-{role}",
        "password": PASSWORD,
        "claims": {"name": name, "email": f"{role}@psephos.localhost", "email_verified": True},
    }
    for role, name in (("citizen", "Rada Citizen"), ("viewer", "Vela Viewer"), ("admin", "Ada Admin"))
)


@dataclass
class OidcProvider(Service):
    """A running provider; `settings` is its entry for OIDC_PROVIDERS."""

    settings: dict[str, Any] = field(default_factory=dict)
    log: Path = Path("oidc.log")

    @property
    def environment(self) -> str:
        """The value of the environment variable OIDC_PROVIDERS."""
        return json.dumps([self.settings])

    def roll_keys(self) -> None:
        """Sign with a new key from now on."""
        before = requests.get(f"{self.url}/jwks", timeout=5).json()
        assert self.process is not None
        self.process.send_signal(signal.SIGUSR2)
        has_rolled = lambda: requests.get(f"{self.url}/jwks", timeout=2).json() != before  # noqa: E731
        wait_until("oidc", has_rolled, self.process, self.log)


def start_oidc_provider(
    folder: Path,
    *,
    port: int | None = None,
    redirect_uris: Sequence[str],
    post_logout_redirect_uris: Sequence[str] = (),
    backchannel_logout_uri: str | None = None,
    people: Sequence[dict[str, Any]] = PEOPLE,
) -> OidcProvider:
    """Start the provider on loopback; its signing key and its client's secret stay in the folder over restarts."""
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    issuer = f"http://127.0.0.1:{port}"
    secret = stored_secret(folder / "client_secret")
    client: dict[str, Any] = {
        "client_id": CLIENT_ID,
        "client_secret": secret,
        "redirect_uris": list(redirect_uris),
        "post_logout_redirect_uris": list(post_logout_redirect_uris),
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "client_secret_basic",
    }
    if backchannel_logout_uri:
        client |= {"backchannel_logout_uri": backchannel_logout_uri, "backchannel_logout_session_required": True}
    configuration = folder / "provider.json"
    configuration.touch(mode=0o600)
    configuration.write_text(
        json.dumps(
            {
                "issuer": issuer,
                "port": port,
                "keys_file": str(folder / "keys.json"),
                "cookie_secret": stored_secret(folder / "cookie_secret"),
                "clients": [client],
                "people": list(people),
            }
        )
    )
    log = folder / "oidc.log"
    process = launch("oidc", ["node", str(PROGRAM), str(configuration)], log=log)
    discovery = f"{issuer}/.well-known/openid-configuration"
    wait_until("oidc", lambda: requests.get(discovery, timeout=2).ok, process, log, timeout_seconds=60)
    settings = {
        "name": "local",
        "label": "Local eID",
        "issuer": issuer,
        "client_id": CLIENT_ID,
        "client_secret": secret,
        "scope": "openid email profile offline_access",
    }
    return OidcProvider("oidc", issuer, process, settings=settings, log=log)


def stored_secret(path: Path) -> str:
    """Read a secret, made on the first start."""
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_urlsafe(32))
    return path.read_text()
