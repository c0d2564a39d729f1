import stat
from datetime import UTC, datetime, timedelta

import pytest
from botocore.stub import ANY, Stubber
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


def test_the_upload_carries_the_lock_and_an_object_that_is_there_is_kept():
    store = bucket()
    client = store.connection.meta.client
    with Stubber(client) as stub:
        stub.add_client_error("head_object", "404", http_status_code=404)
        stub.add_response(
            "put_object",
            {},
            {
                "Bucket": "log",
                "Key": "day/checkpoint",
                "Body": ANY,
                "ContentType": ANY,
                "ObjectLockMode": "COMPLIANCE",
                "ObjectLockRetainUntilDate": ANY,
                "ChecksumAlgorithm": "SHA256",
            },
        )
        store.save("day/checkpoint", ContentFile(b"signed"))
        stub.add_response("head_object", {"ContentLength": 6})
        with pytest.raises(WriteOnce):
            store.save("day/checkpoint", ContentFile(b"other"))
        with pytest.raises(WriteOnce):
            store.delete("day/checkpoint")
        stub.assert_no_pending_responses()


def test_a_bucket_without_retention_is_refused():
    with pytest.raises(ImproperlyConfigured):
        LockedBucket(bucket_name="log", retention_days=0)
