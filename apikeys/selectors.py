"""Reads of keys and their usage."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import QuerySet, Sum
from django.db.models.functions import TruncDate

from apikeys.exceptions import ApiKeyNotFound
from apikeys.models import ApiKey, ApiKeyUsage


def find_api_key(*, lookup_id: str) -> ApiKey | None:
    """Find a key and its owner by the public part, in one query."""
    return ApiKey.objects.select_related("owner").filter(lookup_id=lookup_id).first()


def list_keys_by_lookup_id(*, lookup_ids: Iterable[str]) -> dict[str, ApiKey]:
    """List keys and their owners by the public parts, in one query."""
    keys = ApiKey.objects.select_related("owner").filter(lookup_id__in=lookup_ids)
    return {key.lookup_id: key for key in keys}


def get_api_key(*, key_id: UUID) -> ApiKey:
    """Get a key with its owner; raise ApiKeyNotFound."""
    key = ApiKey.objects.select_related("owner", "replaced_by").filter(pk=key_id).first()
    if key is None:
        raise ApiKeyNotFound
    return key


def lock_api_key(*, key_id: UUID) -> ApiKey:
    """Lock a key's row until the transaction ends; raise ApiKeyNotFound."""
    key = ApiKey.objects.select_for_update(of=("self",)).select_related("owner").filter(pk=key_id).first()
    if key is None:
        raise ApiKeyNotFound
    return key


def list_api_keys(*, owner_id: UUID | None = None, is_active: bool | None = None) -> QuerySet[ApiKey]:
    """List keys, newest first."""
    keys = ApiKey.objects.select_related("owner", "replaced_by")
    if owner_id:
        keys = keys.filter(owner_id=owner_id)
    if is_active is not None:
        active = ApiKey.objects.active().values("pk")
        keys = keys.filter(pk__in=active) if is_active else keys.exclude(pk__in=active)
    return keys


def list_daily_usage(*, key_id: UUID, since: datetime) -> QuerySet[Any, Any]:
    """Sum a key's requests by day, route and status."""
    return (
        ApiKeyUsage.objects.filter(key_id=key_id, hour__gte=since)
        .annotate(day=TruncDate("hour"))
        .values("day", "route", "status")
        .annotate(total=Sum("requests"))
        .order_by("day", "route", "status")
    )
