"""Creates the first administrator, who signs in by password, or sets that password anew."""

import getpass
import sys
import warnings
from typing import Any

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from rest_framework.exceptions import APIException

from accounts.models import User
from accounts.services import create_admin


class Command(BaseCommand):
    help = "Create the first administrator (or set their password anew). Later ones are invited and sign in by eID."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--email", required=True, help="the address by which they sign in")
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password's line from standard input, for scripts"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        password = sys.stdin.readline().rstrip("\n") if options["password_stdin"] else ask_password()
        try:
            validate_password(password, User(email=options["email"]))
            user = create_admin(email=options["email"], password=password)
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from error
        except APIException as error:
            raise CommandError(str(error.detail)) from error
        self.stdout.write(self.style.SUCCESS(f"{user.email} signs in at /admin/"))


def ask_password() -> str:
    try:
        with warnings.catch_warnings():
            # It would show what is typed.
            warnings.simplefilter("error", getpass.GetPassWarning)
            password = getpass.getpass("Password: ")
            again = getpass.getpass("Again: ")
    except (EOFError, getpass.GetPassWarning):
        raise CommandError("Nobody is there to type a password; --password-stdin reads it from a pipe.") from None
    if again != password:
        raise CommandError("The passwords differ.")
    return password
