"""Users and their roles; the last admin stays, and nobody changes their own role."""

from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib.auth.hashers import check_password, make_password
from django.core import signing
from django.db import transaction
from django.urls import reverse
from django.utils import timezone

from accounts.exceptions import AdminExists, EmailTaken, InvitationRefused, LastAdmin, OwnAccount, UserNotFound
from accounts.models import Identity, Role, User
from accounts.selectors import lock_admins, lock_user
from accounts.services.actors import actor_of
from accounts.services.emails import canonical_email
from accounts.services.endings import end_sign_ins_of
from audit.services import record

INVITATION_SALT = "accounts.invitation"
INVITATION_SECONDS = 7 * 24 * 3600


def is_email_taken(email: str, *, except_user: User | None = None) -> bool:
    taken = User.objects.filter(email=email, deleted_at=None)
    return (taken.exclude(pk=except_user.pk) if except_user else taken).exists()


@transaction.atomic
def create_user(*, actor: User | None, email: str, role: str) -> User:
    """Create a user who signs in by an invitation (`invite`); raise EmailTaken or EmailNotCanonical."""
    address = canonical_email(email)
    # Serialised with other creations of the same address by the partial unique constraint; asked first for a
    # clean answer.
    if is_email_taken(address):
        raise EmailTaken
    user = User(email=address, role=role)
    user.set_unusable_password()
    user.save(force_insert=True)
    record(
        action="accounts.user.created",
        actor=actor_of(actor) if actor else None,
        target=actor_of(user),
        data={"role": role},
    )
    return user


@transaction.atomic
def update_user(
    *,
    actor: User | None,
    user_id: UUID,
    email: str | None = None,
    role: str | None = None,
    is_active: bool | None = None,
) -> User:
    """Change a user's e-mail, role or activity; what is None stays.

    Takes effect at once on tokens already issued. Deactivation ends the user's sign-ins. Raises OwnAccount,
    LastAdmin, EmailTaken, EmailNotCanonical and UserNotFound.
    """
    # All admins are locked, in order, before the user: two demotions at once cannot leave none.
    lock_admins()
    user = lock_user(user_id)
    if user is None:
        raise UserNotFound
    changes: dict[str, Any] = {}
    if email is not None and canonical_email(email) != user.email:
        address = canonical_email(email)
        if is_email_taken(address, except_user=user):
            raise EmailTaken
        user.email = address
        # The address itself stays out of the log, which is never erased.
        changes["email"] = "changed"
    if role is not None and role != user.role:
        changes["role"] = {"from": user.role, "to": role}
    if is_active is not None and is_active != user.is_active:
        changes["is_active"] = is_active
    if not changes:
        return user
    if actor is not None and actor.pk == user.pk and {"role", "is_active"} & set(changes):
        raise OwnAccount
    loses_admin = user.is_admin and (role not in {None, Role.ADMIN} or is_active is False)
    if loses_admin:
        require_another_admin(user)
    if "role" in changes:
        user.role = str(role)
        user.role_version += 1
    if is_active is not None:
        user.is_active = is_active
    if not user.is_admin:
        # Passwords are for administrators only.
        user.set_unusable_password()
    user.save()
    if changes.get("is_active") is False:
        end_sign_ins_of(user, because="user_deactivated")
    record(
        action="accounts.user.updated", actor=actor_of(actor) if actor else None, target=actor_of(user), data=changes
    )
    return user


@transaction.atomic
def delete_user(*, actor: User | None, user_id: UUID) -> None:
    """Delete a user softly: the row and the audit trail stay, sign-ins end, the e-mail is free again."""
    lock_admins()
    user = lock_user(user_id)
    if user is None:
        raise UserNotFound
    if actor is not None and actor.pk == user.pk:
        raise OwnAccount
    if user.is_admin:
        require_another_admin(user)
    user.is_active = False
    user.deleted_at = timezone.now()
    user.set_unusable_password()
    user.save()
    end_sign_ins_of(user, because="user_deleted")
    record(action="accounts.user.deleted", actor=actor_of(actor) if actor else None, target=actor_of(user))


def require_another_admin(user: User) -> None:
    if not User.objects.filter(role=Role.ADMIN, is_active=True).exclude(pk=user.pk).exists():
        raise LastAdmin


def invite(*, user: User) -> str:
    """Return an address where the user's first eID sign-in is linked to them; valid for a week and until used."""
    token = signing.dumps({"user": str(user.pk)}, salt=INVITATION_SALT)
    return f"{settings.PUBLIC_URL.rstrip('/')}{reverse('oidc_authentication_init')}?invitation={token}"


def invited_user_id(token: str) -> UUID:
    """Return whom an invitation is for, used or not; raise InvitationRefused for one that is not ours or too old."""
    try:
        return UUID(signing.loads(token, salt=INVITATION_SALT, max_age=INVITATION_SECONDS)["user"])
    except (signing.BadSignature, KeyError, TypeError, ValueError) as error:
        raise InvitationRefused from error


def user_of_invitation(token: str) -> User:
    """Return the user that an unused invitation is for, locked; raise InvitationRefused."""
    user = lock_user(invited_user_id(token))
    if user is None or not user.is_active or Identity.objects.filter(user=user).exists():
        raise InvitationRefused
    return user


@transaction.atomic
def link_identity(*, email: str, role: str, issuer: str, subject: str) -> User:
    """Create or find the user with this e-mail, role and eID identity: for operators and the local stack."""
    identity = Identity.objects.select_related("user").filter(issuer=issuer, subject=subject).first()
    if identity is not None:
        user = identity.user
        if user.role != role:
            update_user(actor=None, user_id=user.pk, role=role)
            user.refresh_from_db()
        return user
    address = canonical_email(email)
    found = User.objects.filter(email=address, deleted_at=None).first()
    user = found or create_user(actor=None, email=address, role=role)
    if user.role != role:
        user = update_user(actor=None, user_id=user.pk, role=role)
    Identity.objects.create(user=user, issuer=issuer, subject=subject)
    record(action="accounts.identity.linked", target=actor_of(user), data={"issuer": issuer})
    return user


@transaction.atomic
def create_admin(*, email: str, password: str) -> User:
    """Create the first admin, who signs in by password; raise AdminExists where there is another.

    An admin who has a password already gets the new one.
    """
    address = canonical_email(email)
    admins = {admin.email: admin for admin in lock_admins()}
    user = admins.get(address)
    if admins and (user is None or not user.has_usable_password()):
        raise AdminExists
    if user is None:
        user = create_user(actor=None, email=address, role=Role.ADMIN)
    user.set_password(password)
    user.save(update_fields=["password"])
    end_sign_ins_of(user, because="password_changed")
    record(action="accounts.password.set", target=actor_of(user))
    return user


def check_password_of_admin(*, email: str, password: str) -> User | None:
    """Return the active admin with this e-mail and password; spend the same time where there is none."""
    user = User.objects.filter(email=email.strip().lower(), role=Role.ADMIN, is_active=True).first()
    if user is None or not user.has_usable_password():
        make_password(password)
        return None
    return user if check_password(password, user.password) else None
