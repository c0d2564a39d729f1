"""Users, sign-ins and tokens for tests."""

from datetime import timedelta
from typing import Any

import factory
from django.utils import timezone

from accounts.models import Identity, Role, SignIn, User
from accounts.services import issue_access_token


class UserFactory(factory.django.DjangoModelFactory):
    """A citizen unless `role` says otherwise; without a usable password."""

    class Meta:
        model = User

    email = factory.Sequence(lambda n: f"person{n}@example.org")
    role = Role.CITIZEN
    password = "!"


class IdentityFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Identity

    user = factory.SubFactory(UserFactory)
    issuer = "https://eid.example"
    subject = factory.Sequence(lambda n: f"subject-{n}")


class SignInFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = SignIn

    user = factory.SubFactory(UserFactory)
    expires_at = factory.LazyFunction(lambda: timezone.now() + timedelta(hours=12))


def access_token(user: User, **claims: Any) -> str:
    """Issue an access token over a new sign-in; `claims` override its own, None removes one."""
    token = issue_access_token(user=user, sign_in=SignInFactory(user=user))
    for name, value in claims.items():
        if value is None:
            token.payload.pop(name, None)
        else:
            token[name] = value
    return str(token)


def bearer(user: User, **claims: Any) -> dict[str, str]:
    """Headers that authenticate as a user: `client.get(url, headers=bearer(user))`."""
    return {"Authorization": f"Bearer {access_token(user, **claims)}"}
