"""Django authentication backends: the eID session, and the first admin's password."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from accounts.models import User
from accounts.services import check_password_of_admin, complete_sign_in


class SessionBackend(BaseBackend):
    """Loads the user of a session; authenticates nobody itself."""

    def get_user(self, user_id: Any) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()


class EidBackend(SessionBackend):
    """Ends a sign-in at a provider: what mozilla-django-oidc's callback view calls with its nonce and verifier."""

    def authenticate(
        self, request: HttpRequest | None, nonce: str = "", code_verifier: str = "", **kwargs: Any
    ) -> User | None:
        attempt = getattr(request, "attempt", None)
        if request is None or attempt is None:
            return None
        sign_in = complete_sign_in(
            provider=attempt.provider,
            code=request.GET["code"],
            code_verifier=code_verifier,
            nonce=nonce,
            redirect_uri=attempt.redirect_uri,
            invitation=attempt.invitation,
        )
        attempt.sign_in = sign_in
        return sign_in.user


class PasswordBackend(SessionBackend):
    """Lets in an admin who has a password, which only `manage.py create_admin` sets."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if username is None or password is None:
            return None
        return check_password_of_admin(email=username, password=password)
