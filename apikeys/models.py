"""API keys and the counts of their requests."""

import uuid
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone


class KeyStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    EXPIRED = "expired", "Expired"
    REVOKED = "revoked", "Revoked"


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def active(self) -> "ApiKeyQuerySet":
        """Keep the keys that open something now."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now()), revoked_at__isnull=True)


class ApiKey(models.Model):
    """A key of a program: found by its lookup id, proved by a peppered digest; the key itself is not kept."""

    id = models.UUIDField("ID", primary_key=True, default=uuid.uuid4, editable=False)
    lookup_id = models.CharField("lookup ID", max_length=12, unique=True, editable=False)
    digest = models.CharField("digest of the secret", max_length=64, editable=False)
    pepper_number = models.PositiveSmallIntegerField("number of the pepper", editable=False)
    name = models.CharField(max_length=100)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="api_keys")
    scopes = ArrayField(models.CharField(max_length=40), default=list)
    limit_per_minute = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)
    replaces = models.OneToOneField(
        "self", null=True, blank=True, on_delete=models.SET_NULL, related_name="replaced_by", editable=False
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at", "id"]
        constraints = [
            # No plaintext fits in here.
            models.CheckConstraint(condition=Q(digest__regex=r"^[0-9a-f]{64}$"), name="apikey_digest_is_a_digest"),
            models.CheckConstraint(condition=Q(lookup_id__regex=r"^[0-9A-Za-z]{12}$"), name="apikey_lookup_id_form"),
            models.CheckConstraint(
                condition=Q(limit_per_minute__isnull=True) | Q(limit_per_minute__gt=0), name="apikey_limit_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} (psk_{self.lookup_id}…)"

    @property
    def prefix(self) -> str:
        """The part of the key that may be shown."""
        return f"psk_{self.lookup_id}"

    def status_at(self, now: datetime) -> str:
        if self.revoked_at:
            return KeyStatus.REVOKED
        return KeyStatus.EXPIRED if self.expires_at and self.expires_at <= now else KeyStatus.ACTIVE

    @property
    def status(self) -> str:
        return self.status_at(timezone.now())


class ApiKeyUsage(models.Model):
    """How many requests of a key a route answered with a status in one hour."""

    id = models.BigAutoField("ID", primary_key=True)
    key = models.ForeignKey(ApiKey, on_delete=models.CASCADE, related_name="usage", verbose_name="API key")
    hour = models.DateTimeField()
    route = models.CharField(max_length=200)
    status = models.PositiveSmallIntegerField("HTTP status")
    requests = models.PositiveBigIntegerField()

    class Meta:
        verbose_name = "usage of an API key"
        verbose_name_plural = "usage of API keys"
        constraints = [models.UniqueConstraint(fields=["key", "hour", "route", "status"], name="apikey_usage_once")]
        indexes = [models.Index(fields=["hour"], name="apikey_usage_hour")]

    def __str__(self) -> str:
        return f"{self.route} {self.status}: {self.requests}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError("usage is written in batches by apikeys.services.flush_usage")
