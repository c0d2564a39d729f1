"""Stores for exports in which nothing can be changed: a folder that refuses to overwrite, a bucket with object lock."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage
from storages.backends.s3 import S3Storage


class WriteOnce(Exception):
    """The store holds a file of this name already, and keeps it."""


class WriteOnceFolder(FileSystemStorage):
    """A folder for files that are written once, read-only and flushed to disk.

    It keeps our own code from mistakes; against an intruder, put a file system that enforces it underneath.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(file_permissions_mode=0o444, **options)

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        if self.exists(name):
            raise WriteOnce(name)
        return name

    def _save(self, name: str, content: File) -> str:
        saved: str = super()._save(name, content)  # type: ignore[misc]
        if saved != name:
            # Another process wrote it meanwhile, and Django chose another name for ours.
            raise WriteOnce(name)
        descriptor = os.open(self.path(saved), os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return saved

    def delete(self, name: str) -> None:
        raise WriteOnce(name)


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
