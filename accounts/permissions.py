"""Who may: signed in, viewer, admin."""

from typing import Any

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import User


class IsSignedIn(BasePermission):
    """Any user with a live sign-in."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, User) and request.user.is_active


class IsViewer(BasePermission):
    """Staff: viewers and admins."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, User) and request.user.is_staff


class IsAdmin(BasePermission):
    """Administrators, as the users table says at this moment."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return isinstance(request.user, User) and request.user.is_admin
