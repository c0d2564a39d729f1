"""Makes the database, the contracts and the first administrator of `make run` ready; safe to repeat.

Writes one JSON object, what was made now, to the file that its argument names.
"""

import json
import secrets
import sys
from pathlib import Path

import django


def main() -> None:
    django.setup()
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
    call_command("deploy_contracts")
    output = Path(sys.argv[1])
    output.touch(mode=0o600)
    output.write_text(json.dumps({"admin": make_first_administrator()}))
    link_local_staff()


def make_first_administrator() -> dict[str, str] | None:
    """Create an administrator with a random password when there is none; the password is stored only as its hash."""
    from accounts.models import Role, User
    from accounts.services import create_admin
    from audit.context import auditing

    email = "admin@psephos.example"
    if User.objects.filter(role=Role.ADMIN).exists():
        return None
    password = secrets.token_urlsafe(15)
    with auditing(actor="system:make-run"):
        create_admin(email=email, password=password)
    return {"email": email, "password": password}


def link_local_staff() -> None:
    """Give the local provider's viewer and admin their roles; the citizen becomes one at the first sign-in."""
    from django.conf import settings

    from accounts.services import link_identity
    from audit.context import auditing
    from deploy.local.oidc import PEOPLE

    with auditing(actor="system:make-run"):
        for person in PEOPLE:
            role = person["sub"].removeprefix("local-")
            if settings.OIDC_PROVIDERS and role != "citizen":
                issuer = settings.OIDC_PROVIDERS[0]["issuer"]
                link_identity(email=person["claims"]["email"], role=role, issuer=issuer, subject=person["sub"])


if __name__ == "__main__":
    main()
