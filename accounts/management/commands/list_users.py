"""`manage.py list_users`: who there is, by role."""

import json
from typing import Annotated

import typer
from django_typer.management import TyperCommand

from accounts.models import Role
from accounts.selectors import list_users


class Command(TyperCommand):
    help = "List users by role; deleted ones are left out."

    def handle(
        self,
        role: Annotated[Role | None, typer.Option(help="Only users of this role")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="Print the users as JSON")] = False,
    ) -> None:
        users = list(list_users(role=role))
        if as_json:
            rows = [
                {
                    "id": str(user.pk),
                    "email": user.email,
                    "role": user.role,
                    "is_active": user.is_active,
                    "created_at": user.created_at.isoformat(),
                }
                for user in users
            ]
            self.echo(json.dumps(rows))
            return
        for user in users:
            colour = None if user.is_active else "yellow"
            state = "" if user.is_active else "  inactive"
            self.secho(f"{user.pk}  {user.role:<7}  {user.email or '(no e-mail)'}{state}", fg=colour)
        count = f"1 {role or 'user'}" if len(users) == 1 else f"{len(users)} {role or 'user'}s"
        self.secho(count, dim=True, err=True)
