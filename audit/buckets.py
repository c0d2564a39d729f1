"""A store for exports in which nothing can be changed: a bucket with object lock; loaded only where one is set."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from storages.backends.s3 import S3Storage

from audit.storage import WriteOnce


class LockedBucket(S3Storage):
    """An S3 bucket (with object lock enabled) whose objects nobody can change before their retention ends."""

    def __init__(self, *, retention_days: int = 3650, **options: Any) -> None:
        if retention_days < 1:
            raise ImproperlyConfigured("AUDIT_EXPORT_RETENTION_DAYS is not a number of days")
        self.retention_days = retention_days
        super().__init__(file_overwrite=False, default_acl=None, querystring_auth=True, **options)

    def get_object_parameters(self, name: str) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_object_parameters(name)
        return parameters | {
            "ObjectLockMode": "COMPLIANCE",
            "ObjectLockRetainUntilDate": datetime.now(UTC) + timedelta(days=self.retention_days),
            # S3 demands a checksum with a lock.
            "ChecksumAlgorithm": "SHA256",
        }

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        if self.exists(name):
            raise WriteOnce(name)
        return name

    def delete(self, name: str) -> None:
        raise WriteOnce(name)
