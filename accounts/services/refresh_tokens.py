"""Our own refresh tokens: each is used once, and the second use of one ends the whole sign-in."""

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.utils import timezone
from rest_framework.exceptions import AuthenticationFailed

from accounts.exceptions import InvalidToken, RefreshTokenReused, TokenExpired, TokenRevoked, UserDeactivated
from accounts.models import ProviderToken, RefreshToken, RevokedToken, SignIn
from accounts.selectors import get_refresh_token, lock_refresh_token
from accounts.services.access_tokens import check_access_token, issue_access_token, revoke_access_token
from accounts.services.actors import actor_of
from accounts.services.endings import end_sign_in
from accounts.services.silent_refresh import ensure_fresh
from audit.services import record

PREFIX = "psr_"
LONGEST_TOKEN = 200


def digest_of(token: str) -> bytes:
    # The token is 256 random bits: a plain hash cannot be searched.
    return hashlib.sha256(token.encode()).digest()


def issue_refresh_token(*, sign_in: SignIn) -> str:
    """Make a refresh token of a sign-in, in the caller's transaction; only its digest is stored."""
    token = PREFIX + secrets.token_urlsafe(32)
    now = timezone.now()
    days = timedelta(hours=settings.AUTH_REFRESH_TOKEN_HOURS)
    RefreshToken.objects.create(
        digest=digest_of(token), sign_in=sign_in, issued_at=now, expires_at=min(now + days, sign_in.expires_at)
    )
    return token


def check_usable(row: RefreshToken | None) -> RefreshToken:
    if row is None:
        raise InvalidToken
    if row.used_at is not None:
        raise RefreshTokenReused
    if row.sign_in.revoked_at is not None:
        raise TokenRevoked
    if not row.sign_in.user.is_active:
        raise UserDeactivated
    if min(row.expires_at, row.sign_in.expires_at) <= timezone.now():
        raise TokenExpired
    return row


def rotate_refresh_token(*, token: str) -> tuple[str, str]:
    """Trade a refresh token for a new (access token, refresh token).

    A token that was used before is in two hands: its sign-in is ended, audited, and RefreshTokenReused raised.
    The sign-in is refreshed at its provider first where its half hour is over; while the provider does not
    answer (ProviderUnavailable) the token stays usable.
    """
    if len(token) > LONGEST_TOKEN or not token.startswith(PREFIX):
        raise InvalidToken
    row = get_refresh_token(digest_of(token))
    try:
        ensure_fresh(sign_in=check_usable(row).sign_in)
        with transaction.atomic():
            locked = check_usable(lock_refresh_token(digest_of(token)))
            locked.used_at = timezone.now()
            locked.save(update_fields=["used_at"])
            fresh = issue_refresh_token(sign_in=locked.sign_in)
            access = issue_access_token(user=locked.sign_in.user, sign_in=locked.sign_in)
            record(
                action="accounts.refresh_token.rotated",
                actor=actor_of(locked.sign_in.user),
                target=f"sign_in:{locked.sign_in_id}",
            )
    except RefreshTokenReused:
        assert row is not None
        record_reuse(row.sign_in)
        raise
    return str(access), fresh


def record_reuse(sign_in: SignIn) -> None:
    with transaction.atomic():
        record(action="accounts.refresh_token.reused", actor=actor_of(sign_in.user), target=f"sign_in:{sign_in.pk}")
    end_sign_in(sign_in=sign_in, because="refresh_token_reused", actor="system:accounts")


def revoke_token(*, token: str) -> None:
    """Revoke a token that its holder gives up (RFC 7009): an access token by its `jti`, a refresh token's sign-in.

    A token that is not valid any more needs nothing; the caller is told nothing about it.
    """
    if token.startswith(PREFIX):
        row = get_refresh_token(digest_of(token))
        if row is not None:
            end_sign_in(sign_in=row.sign_in, because="token_revoked")
        return
    try:
        user, claims = check_access_token(token)
    except AuthenticationFailed:
        return
    with transaction.atomic():
        revoke_access_token(claims=claims)
        record(action="accounts.token.revoked", actor=actor_of(user), target=f"sign_in:{claims['sid']}")


@transaction.atomic
def purge_expired() -> dict[str, int]:
    """Erase what has run out: sessions, refresh tokens, revoked `jti`s, provider's tokens of sign-ins that are over."""
    now = timezone.now()
    SessionStore.clear_expired()
    counts = {
        "refresh_tokens": RefreshToken.objects.filter(sign_in__expires_at__lt=now).delete()[0],
        "revoked_tokens": RevokedToken.objects.filter(expires_at__lt=now).delete()[0],
        "provider_tokens": ProviderToken.objects.filter(sign_in__expires_at__lt=now).delete()[0],
    }
    if any(counts.values()):
        record(action="accounts.tokens.purged", actor="system:accounts", data=counts)
    return counts
