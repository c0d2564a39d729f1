"""Audit entries."""

import uuid

from django.db import models


class Entry(models.Model):
    """One change, as its own transaction committed it; the sequencer numbers it later."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    action = models.CharField(max_length=100)
    actor = models.CharField(max_length=200)
    target = models.CharField(max_length=300, blank=True)
    data = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.action} {self.target}"
