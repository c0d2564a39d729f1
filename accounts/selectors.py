"""Reads and row locks of `accounts`."""

import uuid
from functools import lru_cache
from typing import Any

from django.db import connection
from django.db.models import Q, QuerySet

from accounts.models import ProviderToken, RefreshToken, Role, SignIn, User


@lru_cache(maxsize=1)
def sign_in_of_token_sql() -> str:
    columns = [f's."{field.column}"' for field in SignIn._meta.concrete_fields]
    columns += [f'u."{field.column}"' for field in User._meta.concrete_fields]
    return (
        f"SELECT EXISTS (SELECT 1 FROM accounts_revokedtoken r WHERE r.jti = %s), {', '.join(columns)}"  # noqa: S608
        " FROM accounts_signin s JOIN accounts_user u ON u.id = s.user_id WHERE s.id = %s AND u.id = %s"
    )


def get_sign_in_of_token(*, sign_in_id: Any, user_id: str, jti: str) -> tuple[SignIn, bool] | None:
    """Return the sign-in of an access token with its user, and whether the token was revoked, in one query.

    Every request with a token asks this: written out, because the ORM takes ten times as long to build it.
    """
    try:
        key, user_key = uuid.UUID(sign_in_id), uuid.UUID(user_id)
    except (ValueError, TypeError, AttributeError):
        return None
    with connection.cursor() as cursor:
        cursor.execute(sign_in_of_token_sql(), [jti, key, user_key])
        row = cursor.fetchone()
    if row is None:
        return None
    names = [field.attname for field in SignIn._meta.concrete_fields]
    user_names = [field.attname for field in User._meta.concrete_fields]
    sign_in = SignIn.from_db(connection.alias, names, row[1 : 1 + len(names)])
    sign_in.user = User.from_db(connection.alias, user_names, row[1 + len(names) :])
    return sign_in, row[0]


def get_sign_in(sign_in_id: Any) -> SignIn | None:
    """Return a sign-in with its user."""
    try:
        return SignIn.objects.select_related("user").filter(pk=uuid.UUID(str(sign_in_id))).first()
    except ValueError:
        return None


def lock_sign_in(sign_in_id: uuid.UUID) -> SignIn | None:
    """Lock a sign-in's row and return it with its user."""
    return SignIn.objects.select_for_update(of=("self",)).select_related("user").filter(pk=sign_in_id).first()


def lock_sign_ins(*, issuer: str, provider_session: Any, subject: Any) -> list[SignIn]:
    """Lock the live sign-ins of a provider's session, or of all sessions of a subject, in order."""
    named = Q()
    if provider_session is not None:
        named &= Q(provider_session=provider_session)
    if subject is not None:
        named &= Q(subject=subject)
    if not named:
        return []
    found = SignIn.objects.select_for_update(of=("self",)).filter(named, issuer=issuer, revoked_at=None)
    return list(found.order_by("pk"))


def get_current_provider_token(sign_in_id: uuid.UUID) -> ProviderToken | None:
    """Return a sign-in's newest generation of provider tokens."""
    return ProviderToken.objects.filter(sign_in_id=sign_in_id, replaced_at=None).first()


def get_refresh_token(digest: bytes) -> RefreshToken | None:
    """Return a refresh token with its sign-in and user."""
    return RefreshToken.objects.select_related("sign_in__user").filter(digest=digest).first()


def lock_refresh_token(digest: bytes) -> RefreshToken | None:
    """Lock a refresh token and its sign-in."""
    rows = RefreshToken.objects.select_for_update(of=("self", "sign_in")).select_related("sign_in__user")
    return rows.filter(digest=digest).first()


def list_users(*, role: str | None = None, is_active: bool | None = None) -> QuerySet[User]:
    """List users who are not deleted, oldest first."""
    users = User.objects.filter(deleted_at=None).order_by("created_at", "id")
    if role is not None:
        users = users.filter(role=role)
    return users if is_active is None else users.filter(is_active=is_active)


def get_user(user_id: uuid.UUID) -> User | None:
    """Return a user who is not deleted."""
    return User.objects.filter(pk=user_id, deleted_at=None).first()


def lock_user(user_id: uuid.UUID) -> User | None:
    """Lock and return a user who is not deleted."""
    return User.objects.select_for_update().filter(pk=user_id, deleted_at=None).first()


def lock_admins() -> list[User]:
    """Lock the active admins' rows, in order, so that changes of who is admin happen one after the other."""
    return list(User.objects.select_for_update().filter(role=Role.ADMIN, is_active=True).order_by("pk"))
