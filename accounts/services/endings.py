"""The end of a sign-in, with its session and all tokens that came from it."""

from collections.abc import Iterable
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.utils import timezone

from accounts.exceptions import LogoutTokenRefused
from accounts.models import SignIn, User
from accounts.selectors import lock_sign_in, lock_sign_ins
from accounts.services.actors import actor_of
from accounts.services.id_tokens import CLOCK_SKEW_SECONDS, OLDEST_SECONDS, validate_logout_token
from accounts.services.provider_tokens import forget_tokens, revoke_at_provider
from accounts.services.providers import Provider
from audit.services import record


def end_sign_in(*, sign_in: SignIn, because: str, actor: str | None = None) -> None:
    """End a sign-in: its session, access tokens and refresh tokens fall, the provider's tokens are forgotten.

    The provider is asked to revoke its refresh token too, after our own commit and as well as it answers.
    """
    with transaction.atomic():
        locked = lock_sign_in(sign_in.pk)
        if locked is None or locked.revoked_at is not None:
            return
        secrets = revoke_locked([locked], because=because)
        record(
            action="accounts.signed_out",
            actor=actor or actor_of(locked.user),
            target=f"sign_in:{locked.pk}",
            data={"because": because},
        )
    for provider_name, refresh_token in secrets:
        revoke_at_provider(provider_name=provider_name, refresh_token=refresh_token)


def revoke_locked(sign_ins: Iterable[SignIn], *, because: str) -> list[tuple[str, str]]:
    """Revoke locked sign-ins and erase their provider tokens; return (provider, refresh token) of each."""
    secrets = []
    for sign_in in sign_ins:
        sign_in.revoked_at = timezone.now()
        sign_in.revoked_because = because
        sign_in.save(update_fields=["revoked_at", "revoked_because"])
        refresh_token = forget_tokens(sign_in=sign_in)
        if refresh_token:
            secrets.append((sign_in.provider, refresh_token))
    return secrets


def end_by_provider(*, provider: Provider, logout_token: Any) -> int:
    """End the sign-ins that a provider's back-channel logout names; return how many."""
    claims = validate_logout_token(provider=provider, token=logout_token)
    seconds = OLDEST_SECONDS + 2 * CLOCK_SKEW_SECONDS
    if not cache.add(f"oidc:logout:{provider.name}:{claims['jti'][:200]}", True, seconds):
        raise LogoutTokenRefused("logout_token_replayed", "This logout token was used before.")
    with transaction.atomic():
        found = lock_sign_ins(issuer=provider.issuer, provider_session=claims.get("sid"), subject=claims.get("sub"))
        revoke_locked(found, because="provider_logout")
        for sign_in in found:
            record(
                action="accounts.signed_out",
                actor=f"provider:{provider.name}",
                target=f"sign_in:{sign_in.pk}",
                data={"because": "provider_logout"},
            )
    return len(found)


def end_sign_ins_of(user: User, *, because: str) -> None:
    """End all of a user's sign-ins and forget the provider's tokens, inside the caller's transaction."""
    revoke_locked(SignIn.objects.select_for_update().filter(user=user, revoked_at=None).order_by("pk"), because=because)
