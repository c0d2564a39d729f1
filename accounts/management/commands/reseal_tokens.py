"""Seals the providers' tokens again by the newest key, after which the old key can go."""

from typing import Any

from django.core.management.base import BaseCommand

from accounts.services import reseal_provider_tokens


class Command(BaseCommand):
    help = "Seal all stored provider tokens by the first of TOKEN_ENCRYPTION_KEYS; then the older keys can be removed."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(self.style.SUCCESS(f"{reseal_provider_tokens()} sign-ins' tokens resealed"))
