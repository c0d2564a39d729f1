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


def make_first_administrator() -> dict[str, str] | None:
    """Create an administrator with a random password when there is none; the password is stored only as its hash."""
    from django.db import transaction

    from accounts.models import Role, User
    from audit.services import record

    email = "admin@psephos.example"
    if User.objects.filter(role=Role.ADMIN).exists():
        return None
    password = secrets.token_urlsafe(15)
    with transaction.atomic():
        user = User(email=email, role=Role.ADMIN)
        user.set_password(password)
        user.save()
        record(
            action="accounts.user.created", actor="system:make-run", target=f"user:{user.pk}", data={"role": "admin"}
        )
    return {"email": email, "password": password}


if __name__ == "__main__":
    main()
