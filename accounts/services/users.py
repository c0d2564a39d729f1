"""Users and their roles."""

from django.contrib.auth.hashers import check_password, make_password

from accounts.models import Role, User


def actor_of(user: User) -> str:
    """Name a user in the audit log."""
    return f"user:{user.pk}"


def check_password_of_admin(*, email: str, password: str) -> User | None:
    """Return the active admin with this e-mail and password; spend the same time where there is none."""
    user = User.objects.filter(email=email.strip().lower(), role=Role.ADMIN, is_active=True).first()
    if user is None or not user.has_usable_password():
        make_password(password)
        return None
    return user if check_password(password, user.password) else None
