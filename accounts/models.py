"""Users."""

import uuid

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models


class Role(models.TextChoices):
    CITIZEN = "citizen", "Citizen"
    VIEWER = "viewer", "Viewer"
    ADMIN = "admin", "Administrator"


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=username)


class User(AbstractBaseUser):
    """A person: a citizen known by eID, or staff (viewers see, admins change)."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True, null=True, blank=True)
    role = models.CharField(max_length=10, choices=Role, default=Role.CITIZEN)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: list[str] = []

    objects = UserManager()

    def __str__(self) -> str:
        return self.email or str(self.pk)

    @property
    def is_admin(self) -> bool:
        return self.is_active and self.role == Role.ADMIN

    @property
    def is_staff(self) -> bool:
        """Django admin's word for who may enter it: viewers and admins."""
        return self.is_active and self.role in {Role.VIEWER, Role.ADMIN}

    @property
    def is_superuser(self) -> bool:
        return self.is_admin

    def has_perm(self, perm: str, obj: object | None = None) -> bool:
        """Admins may do anything, viewers may view."""
        return self.is_admin or (self.is_staff and perm.rpartition(".")[2].startswith("view_"))

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_staff
