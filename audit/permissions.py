"""Who may read the entries."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView


class IsAdministrator(BasePermission):
    """Users whose role is `admin`; this room knows the accounts' by that word alone."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return bool(request.user and request.user.is_authenticated and getattr(request.user, "role", "") == "admin")
