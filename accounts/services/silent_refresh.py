"""Silent refresh: a sign-in whose ID token has run out is renewed at its provider, once, on the server."""

import logging

import redis
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.exceptions import ProviderUnavailable, SignInEnded, SignInRefused, UnknownProvider
from accounts.models import ProviderToken, SignIn
from accounts.selectors import get_current_provider_token, lock_sign_in
from accounts.services.endings import end_sign_in
from accounts.services.id_tokens import validate_refreshed_id_token
from accounts.services.provider_tokens import ReceivedTokens, place, read_token_answer, store_tokens
from accounts.services.providers import Provider, call_token_endpoint, get_provider
from accounts.services.sealing import CannotUnseal, unseal
from audit.services import record

logger = logging.getLogger(__name__)


def ensure_fresh(*, sign_in: SignIn) -> None:
    """Refresh a sign-in at its provider when its ID token has run out; return when it is fresh.

    Of many callers one asks the provider and the others wait for it. Raises SignInEnded where the provider
    refuses or gave no refresh token (the sign-in is ended), ProviderUnavailable where it does not answer (the
    sign-in stays, and the next request tries again). No transaction is open while the provider is asked.
    """
    if sign_in.method != SignIn.Method.EID or is_fresh(sign_in):
        return
    wait = settings.OIDC_TIMEOUT_SECONDS
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        # Freed by its timeout should this process die while it holds it: one exchange may call twice.
        lock = client.lock(f"psephos:refresh:{sign_in.pk}", timeout=3 * wait, blocking_timeout=3 * wait)
        if not lock.acquire():
            raise ProviderUnavailable
        try:
            if not is_fresh(sign_in):
                refresh_at_provider(sign_in)
        finally:
            try:
                lock.release()
            except redis.exceptions.LockNotOwnedError:
                logger.warning("a refresh took longer than its lock", extra={"sign_in": str(sign_in.pk)})


def is_fresh(sign_in: SignIn) -> bool:
    current = get_current_provider_token(sign_in.pk)
    return current is not None and current.expires_at > timezone.now()


def refresh_at_provider(sign_in: SignIn) -> None:
    current = get_current_provider_token(sign_in.pk)
    try:
        if current is None or not current.sealed_refresh_token:
            raise SignInRefused("no_refresh_token", "The provider gave no refresh token.")
        provider = get_provider(sign_in.provider)
        tokens = ask_for_fresh_tokens(provider, sign_in, current)
    except (SignInRefused, UnknownProvider, CannotUnseal) as error:
        code = getattr(error, "code", type(error).__name__)
        logger.warning("refresh refused", extra={"code": code, "sign_in": str(sign_in.pk)})
        end_sign_in(sign_in=sign_in, because=f"refresh_refused:{code}"[:50], actor="system:accounts")
        raise SignInEnded from error
    with transaction.atomic():
        locked = lock_sign_in(sign_in.pk)
        if locked is None or locked.revoked_at is not None:
            raise SignInEnded
        store_tokens(sign_in=locked, tokens=tokens)
        record(action="accounts.refreshed", actor="system:accounts", target=f"sign_in:{sign_in.pk}")


def ask_for_fresh_tokens(provider: Provider, sign_in: SignIn, current: ProviderToken) -> ReceivedTokens:
    refresh_token = unseal(current.sealed_refresh_token, place=place(sign_in.pk, "refresh_token"))
    answer = call_token_endpoint(provider, {"grant_type": "refresh_token", "refresh_token": refresh_token})
    if answer.status != 200:
        raise SignInRefused("refresh_token_refused", "The provider does not accept the refresh token.")
    tokens = read_token_answer(answer)
    if tokens.id_token is not None:
        validate_refreshed_id_token(
            provider=provider, token=tokens.id_token, subject=sign_in.subject, access_token=tokens.access_token
        )
    return tokens
