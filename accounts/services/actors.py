"""Names of users in the audit log."""

from accounts.models import User


def actor_of(user: User) -> str:
    """Name a user in the audit log."""
    return f"user:{user.pk}"
