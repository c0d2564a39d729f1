"""Django authentication backends: the eID session, and the first admin's password."""

from typing import Any

from django.contrib.auth.backends import BaseBackend
from django.http import HttpRequest

from accounts.models import User
from accounts.services import check_password_of_admin


class SessionBackend(BaseBackend):
    """Loads the user of a session that an eID sign-in made; authenticates nobody itself."""

    def get_user(self, user_id: Any) -> User | None:
        return User.objects.filter(pk=user_id, is_active=True).first()


class PasswordBackend(SessionBackend):
    """Lets in an admin who has a password, which only `manage.py create_admin` sets."""

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> User | None:
        if username is None or password is None:
            return None
        return check_password_of_admin(email=username, password=password)
