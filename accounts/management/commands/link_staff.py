"""Gives a role to a person of an eID provider, by issuer and subject."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import APIException

from accounts.models import Role
from accounts.services import link_identity


class Command(BaseCommand):
    help = "Give a role to the person whom an eID provider knows by a subject; done again, nothing changes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--issuer", required=True, help="the eID provider's address, as in OIDC_PROVIDERS")
        parser.add_argument("--subject", required=True, help="who the person is to the provider (`sub`)")
        parser.add_argument("--email", required=True, help="the address that the admin shows")
        parser.add_argument(
            "--role", required=True, choices=Role.values, help="viewers see everything, admins change it"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = {name: options[name] for name in ("issuer", "subject", "email", "role")}
        try:
            user = link_identity(**wanted)
        except APIException as error:
            raise CommandError(str(error.detail)) from error
        self.stdout.write(self.style.SUCCESS(f"{user} is {user.get_role_display().lower()}"))
