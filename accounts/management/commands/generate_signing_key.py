"""Prints a new key for AUTH_SIGNING_KEYS or TOKEN_ENCRYPTION_KEYS."""

from typing import Any

from cryptography.fernet import Fernet
from django.core.management.base import BaseCommand, CommandParser

from accounts.services import generate_signing_key


class Command(BaseCommand):
    help = (
        "Print a new key: for AUTH_SIGNING_KEYS (Ed25519, base64 of PEM), or with --sealing for TOKEN_ENCRYPTION_KEYS."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--sealing", action="store_true", help="a Fernet key for TOKEN_ENCRYPTION_KEYS")

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(Fernet.generate_key().decode() if options["sealing"] else generate_signing_key())
