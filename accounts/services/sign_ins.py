"""Sign-ins: from a provider's code to a person, and the end of a sign-in with all its tokens."""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.exceptions import EmailInvalid, EmailNotCanonical, InvitationRefused, SignInRefused, UserDeactivated
from accounts.models import STAFF_ROLES, Identity, SignIn, User
from accounts.services.actors import actor_of
from accounts.services.emails import canonical_email
from accounts.services.endings import end_sign_ins_of
from accounts.services.id_tokens import check_subject, validate_id_token
from accounts.services.provider_tokens import ReceivedTokens, read_token_answer, store_tokens
from accounts.services.providers import Provider, ask, call_token_endpoint, get_metadata
from accounts.services.users import invited_user_id, user_of_invitation
from audit.services import record

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Person:
    """What a provider proved about somebody."""

    issuer: str
    subject: str
    provider_session: str
    email: str | None
    is_email_verified: bool


def complete_sign_in(
    *, provider: Provider, code: str, code_verifier: str, nonce: str, redirect_uri: str, invitation: str = ""
) -> SignIn:
    """Exchange a code for tokens, validate them, and make a sign-in for the person that they prove.

    A person is (issuer, subject). Refusals (SignInRefused, ProviderUnavailable, …) leave nothing but an audit
    entry. No transaction is open while the provider is asked.
    """
    tokens, person = ask_who(
        provider=provider, code=code, code_verifier=code_verifier, nonce=nonce, redirect_uri=redirect_uri
    )
    try:
        return record_sign_in(provider=provider, person=person, tokens=tokens, invitation=invitation)
    except IntegrityError:
        # The same new person signed in twice at the same moment: now they exist.
        return record_sign_in(provider=provider, person=person, tokens=tokens, invitation=invitation)


def ask_who(
    *, provider: Provider, code: str, code_verifier: str, nonce: str, redirect_uri: str
) -> tuple[ReceivedTokens, Person]:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
        "code_verifier": code_verifier,
    }
    answer = call_token_endpoint(provider, form)
    if answer.status != 200:
        raise SignInRefused("code_refused", "The provider does not accept the code.")
    tokens = read_token_answer(answer)
    claims = validate_id_token(provider=provider, token=tokens.id_token, nonce=nonce, access_token=tokens.access_token)
    claims |= fetch_userinfo(provider, tokens.access_token, subject=claims["sub"])
    email = claims.get("email")
    session = claims.get("sid")
    return tokens, Person(
        issuer=provider.issuer,
        subject=check_subject(claims),
        provider_session=session if isinstance(session, str) and len(session) <= 255 else "",
        email=email if isinstance(email, str) and email else None,
        # Exactly the boolean: the string "true" is somebody's mistake.
        is_email_verified=claims.get("email_verified") is True,
    )


def fetch_userinfo(provider: Provider, access_token: str, *, subject: str) -> dict[str, Any]:
    """Return the e-mail claims of the userinfo endpoint, whose `sub` must be the ID token's."""
    endpoint = get_metadata(provider).get("userinfo_endpoint")
    if endpoint is None:
        return {}
    answer = ask(provider, "GET", endpoint, headers={"Authorization": f"Bearer {access_token}"})
    if answer.status != 200 or answer.content_type != "application/json":
        raise SignInRefused("userinfo_invalid", "The provider does not say who the person is.")
    userinfo = answer.json_object()
    if userinfo.get("sub") != subject:
        raise SignInRefused("userinfo_subject", "The provider's userinfo is about another person.")
    return {name: userinfo[name] for name in ("email", "email_verified") if name in userinfo}


@transaction.atomic
def record_sign_in(*, provider: Provider, person: Person, tokens: ReceivedTokens, invitation: str) -> SignIn:
    user = find_or_create_user(person, invitation=invitation)
    if not user.is_active:
        raise UserDeactivated
    now = timezone.now()
    sign_in = SignIn.objects.create(
        user=user,
        method=SignIn.Method.EID,
        provider=provider.name,
        issuer=person.issuer,
        subject=person.subject,
        provider_session=person.provider_session,
        expires_at=now + timedelta(hours=settings.AUTH_SIGN_IN_HOURS),
    )
    store_tokens(sign_in=sign_in, tokens=tokens)
    User.objects.filter(pk=user.pk).update(last_login=now)
    record(
        action="accounts.signed_in",
        actor=actor_of(user),
        target=f"sign_in:{sign_in.pk}",
        data={"provider": provider.name, "method": "eid"},
    )
    return sign_in


def find_or_create_user(person: Person, *, invitation: str) -> User:
    """Find the user of (issuer, subject); link a known e-mail only where it is verified and never to staff."""
    try:
        email = canonical_email(person.email) if person.email else None
    except EmailNotCanonical as error:
        raise SignInRefused("email_not_canonical", str(EmailNotCanonical.default_detail)) from error
    except EmailInvalid:
        # Nothing that mail could be sent to; the person is known without it.
        email = None
    claimed = {"claimed_email": email or "", "is_email_verified": person.is_email_verified}
    identity = Identity.objects.select_related("user").filter(issuer=person.issuer, subject=person.subject).first()
    if identity is not None and invitation and identity.user_id != invited_user_id(invitation):
        return move_identity(identity, invitation=invitation, claimed=claimed)
    if identity is not None:
        Identity.objects.filter(pk=identity.pk).update(last_seen_at=timezone.now(), **claimed)
        return identity.user
    if invitation:
        user = user_of_invitation(invitation)
        record(
            action="accounts.identity.linked", actor=actor_of(user), target=actor_of(user), data={"by": "invitation"}
        )
    else:
        user = find_by_email(email, is_verified=person.is_email_verified)
    Identity.objects.create(
        user=user, issuer=person.issuer, subject=person.subject, last_seen_at=timezone.now(), **claimed
    )
    return user


def move_identity(identity: Identity, *, invitation: str, claimed: dict[str, Any]) -> User:
    """Give a person whom we know as a citizen, or who was deleted, the place in the staff that they are invited to."""
    before = identity.user
    if before.role in STAFF_ROLES and before.deleted_at is None:
        raise InvitationRefused
    if not before.is_active and before.deleted_at is None:
        raise UserDeactivated
    user = user_of_invitation(invitation)
    end_sign_ins_of(before, because="identity_moved")
    Identity.objects.filter(pk=identity.pk).update(user=user, last_seen_at=timezone.now(), **claimed)
    record(
        action="accounts.identity.linked",
        actor=actor_of(user),
        target=actor_of(user),
        data={"by": "invitation", "from": actor_of(before)},
    )
    return user


def find_by_email(email: str | None, *, is_verified: bool) -> User:
    """Return the citizen with a verified e-mail, else a new one, with the e-mail only where it is verified and free."""
    found = User.objects.filter(email=email, deleted_at=None).first() if email and is_verified else None
    if found is not None and found.role not in STAFF_ROLES:
        record(action="accounts.identity.linked", actor=actor_of(found), target=actor_of(found), data={"by": "email"})
        return found
    user = User(email=email if is_verified and found is None else None)
    user.set_unusable_password()
    user.save(force_insert=True)
    record(action="accounts.user.created", actor=actor_of(user), target=actor_of(user), data={"role": user.role})
    return user


@transaction.atomic
def record_password_sign_in(*, user: User) -> SignIn:
    """Make a sign-in for an admin whose password was right."""
    hours = settings.AUTH_SIGN_IN_HOURS
    sign_in = SignIn.objects.create(
        user=user, method=SignIn.Method.PASSWORD, expires_at=timezone.now() + timedelta(hours=hours)
    )
    User.objects.filter(pk=user.pk).update(last_login=timezone.now())
    record(
        action="accounts.signed_in",
        actor=actor_of(user),
        target=f"sign_in:{sign_in.pk}",
        data={"method": "password"},
    )
    return sign_in


def record_refusal(*, code: str, provider: str = "", is_audited: bool = True) -> None:
    """Log a refused sign-in, and audit it where a provider's answer was at fault; what tokens claim stays out."""
    logger.warning("sign-in refused", extra={"code": code, "provider": provider})
    if is_audited:
        with transaction.atomic():
            record(action="accounts.sign_in.refused", actor="anonymous", data={"code": code, "provider": provider})
