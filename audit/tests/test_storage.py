import stat
from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile

from audit.buckets import LockedBucket
from audit.storage import WriteOnce, WriteOnceFolder


def test_a_file_is_written_once_and_read_only(tmp_path):
    store = WriteOnceFolder(location=tmp_path)
    assert store.save("day/entries.jsonl", ContentFile(b"one")) == "day/entries.jsonl"
    with pytest.raises(WriteOnce):
        store.save("day/entries.jsonl", ContentFile(b"two"))
    with pytest.raises(WriteOnce):
        store.delete("day/entries.jsonl")
    assert (tmp_path / "day/entries.jsonl").read_bytes() == b"one"
    assert stat.S_IMODE((tmp_path / "day/entries.jsonl").stat().st_mode) == 0o444


def bucket():
    return LockedBucket(
        bucket_name="log", retention_days=30, access_key="a", secret_key="b", region_name="eu-central-1"
    )


def test_an_object_is_locked_for_its_retention():
    parameters = bucket().get_object_parameters("x")
    assert parameters["ObjectLockMode"] == "COMPLIANCE"
    until = parameters["ObjectLockRetainUntilDate"]
    assert timedelta(days=29) < until - datetime.now(UTC) <= timedelta(days=30)


def test_a_bucket_without_retention_is_refused():
    with pytest.raises(ImproperlyConfigured):
        LockedBucket(bucket_name="log", retention_days=0)
