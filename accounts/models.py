"""Users, their eID identities, and sign-ins with the tokens that belong to them."""

import uuid
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class Role(models.TextChoices):
    CITIZEN = "citizen", "Citizen"
    VIEWER = "viewer", "Viewer"
    ADMIN = "admin", "Administrator"


STAFF_ROLES = (Role.VIEWER, Role.ADMIN)


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=username, deleted_at=None)


class User(AbstractBaseUser):
    """A person: a citizen known by eID, or staff (viewers see, admins change).

    `email` is stored in its canonical form. A deleted user's row stays, for the audit trail.
    """

    id = models.UUIDField("ID", primary_key=True, default=uuid.uuid4, editable=False)
    # NULL, not "", where there is none: it is unique.
    email = models.EmailField("e-mail address", null=True, blank=True)  # noqa: DJ001
    role = models.CharField(max_length=10, choices=Role, default=Role.CITIZEN, db_index=True)
    # Counts changes of role: a token that carries an older number has a stale `admin` claim.
    role_version = models.PositiveIntegerField("changes of role", default=0)
    is_active = models.BooleanField("active", default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    deleted_at = models.DateTimeField(null=True, blank=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects = UserManager()

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["email"], condition=Q(deleted_at=None), name="user_email_unique_among_living"
            ),
            models.CheckConstraint(
                condition=Q(deleted_at=None) | Q(is_active=False), name="user_deleted_is_not_active"
            ),
        ]

    def __str__(self) -> str:
        return self.email or str(self.pk)

    @property
    def is_admin(self) -> bool:
        return self.is_active and self.role == Role.ADMIN

    @property
    def is_staff(self) -> bool:
        """Django admin's word for who may enter it: viewers and admins."""
        return self.is_active and self.role in STAFF_ROLES

    @property
    def is_superuser(self) -> bool:
        return self.is_admin

    def has_perm(self, perm: str, obj: object | None = None) -> bool:
        """Admins may do anything, viewers may view."""
        return self.is_admin or (self.is_staff and perm.rpartition(".")[2].startswith("view_"))

    def has_perms(self, perms: Any, obj: object | None = None) -> bool:
        return all(self.has_perm(perm, obj) for perm in perms)

    def has_module_perms(self, app_label: str) -> bool:
        return self.is_staff


class Identity(models.Model):
    """A person as an eID provider knows them: (issuer, subject), never the e-mail."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="identities")
    issuer = models.CharField(max_length=500)
    subject = models.CharField(max_length=255)
    # What the provider last said; not unique and not trusted.
    claimed_email = models.CharField("claimed e-mail address", max_length=320, blank=True)
    is_email_verified = models.BooleanField("verified by the provider", default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_seen_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [models.UniqueConstraint(fields=["issuer", "subject"], name="identity_issuer_subject")]

    def __str__(self) -> str:
        return f"{self.subject} at {self.issuer}"


class SignInQuerySet(models.QuerySet["SignIn"]):
    def live(self, now: Any) -> "SignInQuerySet":
        return self.filter(revoked_at=None, expires_at__gt=now)


class SignIn(models.Model):
    """One sign-in: the family that a session and all tokens from it belong to, and fall with."""

    class Method(models.TextChoices):
        EID = "eid", "eID"
        PASSWORD = "password", "Password"

    id = models.UUIDField("ID", primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="sign_ins")
    method = models.CharField(max_length=10, choices=Method, default=Method.EID)
    provider = models.CharField(max_length=50, blank=True)
    issuer = models.CharField(max_length=500, blank=True)
    subject = models.CharField(max_length=255, blank=True)
    # The provider's session (`sid`), by which its back-channel logout finds us.
    provider_session = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_because = models.CharField("reason for the revocation", max_length=50, blank=True)

    objects = SignInQuerySet.as_manager()

    class Meta:
        verbose_name = "sign-in"
        ordering = ["-created_at"]
        indexes = [
            models.Index(fields=["issuer", "provider_session"], name="sign_in_provider_session"),
            models.Index(fields=["issuer", "subject"], name="sign_in_subject"),
            models.Index(fields=["expires_at"], name="sign_in_expires"),
        ]

    def __str__(self) -> str:
        return f"{self.get_method_display()} sign-in of {self.user}, {self.created_at:%Y-%m-%d %H:%M:%S}"

    @property
    def state(self) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "live" if self.expires_at > timezone.now() else "over"


class ProviderToken(models.Model):
    """The tokens that a provider gave, sealed; each refresh adds a generation and empties the one before."""

    sign_in = models.ForeignKey(
        SignIn, on_delete=models.CASCADE, related_name="provider_tokens", verbose_name="sign-in"
    )
    generation = models.PositiveIntegerField(default=0)
    sealed_id_token = models.TextField("ID token (sealed)")
    sealed_access_token = models.TextField("access token (sealed)")
    sealed_refresh_token = models.TextField("refresh token (sealed)", blank=True)
    issued_at = models.DateTimeField()
    # Half an hour after issue, whatever the provider says.
    expires_at = models.DateTimeField()
    replaced_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["sign_in", "generation"], name="provider_token_generation"),
            models.UniqueConstraint(
                fields=["sign_in"], condition=Q(replaced_at=None), name="provider_token_one_current"
            ),
        ]

    def __str__(self) -> str:
        return f"generation {self.generation} of {self.sign_in_id}"


class RefreshToken(models.Model):
    """One of our own refresh tokens, by the SHA-256 of its secret; used once."""

    digest = models.BinaryField("digest of the secret", max_length=32, unique=True)
    sign_in = models.ForeignKey(SignIn, on_delete=models.CASCADE, related_name="refresh_tokens", verbose_name="sign-in")
    issued_at = models.DateTimeField()
    expires_at = models.DateTimeField(db_index=True)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(expires_at__gt=F("issued_at")), name="refresh_token_expires_later")
        ]

    def __str__(self) -> str:
        return f"refresh token {self.pk} of {self.sign_in_id}"


class RevokedToken(models.Model):
    """An access token that was revoked by its `jti` before it expired."""

    jti = models.CharField("token ID (jti)", max_length=64, primary_key=True)
    expires_at = models.DateTimeField(db_index=True)
    revoked_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.jti
