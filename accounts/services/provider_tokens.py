"""The provider's tokens of a sign-in: stored sealed, one generation after the other, forgotten at its end."""

import logging
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.exceptions import ProviderUnavailable, SignInRefused, UnknownProvider
from accounts.models import ProviderToken, SignIn
from accounts.selectors import get_current_provider_token
from accounts.services.provider_http import Answer
from accounts.services.providers import call_token_endpoint, get_metadata, get_provider
from accounts.services.sealing import CannotUnseal, reseal, seal, unseal
from audit.services import record

LONGEST_SECRET = 16_384
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ReceivedTokens:
    access_token: str = field(repr=False)
    id_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)


def read_token_answer(answer: Answer) -> ReceivedTokens:
    """Check the shape of a token endpoint's answer (RFC 6749, section 5.1)."""
    body = answer.json_object()
    access, kind = body.get("access_token"), body.get("token_type")
    if not isinstance(access, str) or not access or len(access) > LONGEST_SECRET:
        raise SignInRefused("token_answer_invalid", "The provider sent no access token.")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise SignInRefused("token_answer_invalid", "The provider's token is not a bearer token.")
    refresh, id_token = body.get("refresh_token"), body.get("id_token")
    if refresh is not None and (not isinstance(refresh, str) or len(refresh) > LONGEST_SECRET):
        raise SignInRefused("token_answer_invalid", "The provider's refresh token is not a string.")
    if id_token is not None and not isinstance(id_token, str):
        raise SignInRefused("token_answer_invalid", "The provider's ID token is not a string.")
    return ReceivedTokens(access_token=access, id_token=id_token, refresh_token=refresh or None)


def place(sign_in_id: UUID, name: str) -> str:
    return f"{sign_in_id}/{name}"


def store_tokens(*, sign_in: SignIn, tokens: ReceivedTokens) -> ProviderToken:
    """Seal a new generation of tokens and empty the one before, inside the caller's transaction.

    Their ID token counts for half an hour, whatever the provider says.
    """
    now = timezone.now()
    before = get_current_provider_token(sign_in.pk)
    generation = 0
    id_token, refresh_token = tokens.id_token, tokens.refresh_token
    if before is not None:
        generation = before.generation + 1
        # A refresh may leave both as they were (RFC 6749, section 6; OpenID Connect Core, section 12.2).
        id_token = id_token or unseal(before.sealed_id_token, place=place(sign_in.pk, "id_token"))
        if refresh_token is None and before.sealed_refresh_token:
            refresh_token = unseal(before.sealed_refresh_token, place=place(sign_in.pk, "refresh_token"))
        ProviderToken.objects.filter(pk=before.pk).update(
            replaced_at=now, sealed_id_token="", sealed_access_token="", sealed_refresh_token=""
        )
    return ProviderToken.objects.create(
        sign_in=sign_in,
        generation=generation,
        sealed_id_token=seal(id_token or "", place=place(sign_in.pk, "id_token")),
        sealed_access_token=seal(tokens.access_token, place=place(sign_in.pk, "access_token")),
        sealed_refresh_token=seal(refresh_token, place=place(sign_in.pk, "refresh_token")) if refresh_token else "",
        issued_at=now,
        expires_at=now + timedelta(minutes=settings.OIDC_ID_TOKEN_MINUTES),
    )


def forget_tokens(*, sign_in: SignIn) -> str | None:
    """Erase a sign-in's provider tokens inside the caller's transaction; return the refresh token that was there."""
    current = get_current_provider_token(sign_in.pk)
    refresh_token = None
    if current is not None and current.sealed_refresh_token:
        try:
            refresh_token = unseal(current.sealed_refresh_token, place=place(sign_in.pk, "refresh_token"))
        except CannotUnseal:
            logger.warning("a provider token cannot be unsealed", extra={"sign_in": str(sign_in.pk)})
    ProviderToken.objects.filter(sign_in=sign_in).delete()
    return refresh_token


def read_id_token(*, sign_in: SignIn) -> str | None:
    """Return the ID token, as a hint for the provider's own logout (RP-Initiated Logout 1.0)."""
    current = get_current_provider_token(sign_in.pk)
    try:
        return unseal(current.sealed_id_token, place=place(sign_in.pk, "id_token")) if current else None
    except CannotUnseal:
        return None


def revoke_at_provider(*, provider_name: str, refresh_token: str) -> None:
    """Ask a provider to revoke a refresh token (RFC 7009); our own side has ended it already."""
    try:
        provider = get_provider(provider_name)
        if get_metadata(provider).get("revocation_endpoint"):
            form = {"token": refresh_token, "token_type_hint": "refresh_token"}
            call_token_endpoint(provider, form, endpoint="revocation_endpoint")
    except (ProviderUnavailable, SignInRefused, UnknownProvider) as error:
        logger.warning("the provider did not revoke a token", extra={"error": type(error).__name__})


def reseal_provider_tokens() -> int:
    """Seal all stored tokens again by the newest key; return how many rows changed."""
    count = 0
    for token in ProviderToken.objects.filter(replaced_at=None).iterator():
        with transaction.atomic():
            locked = ProviderToken.objects.select_for_update().filter(pk=token.pk, replaced_at=None).first()
            if locked is None:
                continue
            for name in ("sealed_id_token", "sealed_access_token", "sealed_refresh_token"):
                if getattr(locked, name):
                    setattr(locked, name, reseal(getattr(locked, name)))
            locked.save()
            count += 1
    record(action="accounts.provider_tokens.resealed", data={"count": count})
    return count
