"""A store for exports in which nothing can be changed: a folder that refuses to overwrite."""

import os
from typing import Any

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage


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
