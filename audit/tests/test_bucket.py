"""Exports in a real bucket over HTTP: moto's server, which keeps versions and enforces object lock."""

from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from django.core.files.base import ContentFile
from moto.server import ThreadedMotoServer

from audit.models import Export
from audit.services import export_log, get_export_storage, sequence_all, verify_log
from audit.storage import WriteOnce
from audit.tests.factories import write

BUCKET = "audit-log"


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(endpoint, settings):
    access = {"region_name": "us-east-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    client = boto3.client("s3", endpoint_url=endpoint, **access)
    boto3.client("s3", endpoint_url=endpoint, **access).create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
    settings.AUDIT_EXPORT_STORAGE = {
        "BACKEND": "audit.buckets.LockedBucket",
        "OPTIONS": {
            "bucket_name": BUCKET,
            "endpoint_url": endpoint,
            "retention_days": 30,
            "region_name": "us-east-1",
            "access_key": "a",
            "secret_key": "b",
        },
    }
    return client


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_an_export_in_a_locked_bucket(s3):
    write(300)
    sequence_all()
    export = export_log()
    write(10)
    sequence_all()
    second = export_log()
    report = verify_log(processes=1)
    assert (report.findings, report.counts["exports"]) == ([], 2)

    key = f"{export.name}/entries.jsonl"
    head = s3.head_object(Bucket=BUCKET, Key=key)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    assert head["ObjectLockRetainUntilDate"] > datetime.now(UTC) + timedelta(days=29)
    store = get_export_storage()
    with pytest.raises(WriteOnce):
        store.save(key, ContentFile(b"other"))
    with pytest.raises(WriteOnce):
        store.delete(key)

    # Whoever has the bucket's keys: the version stays, and cannot lose its lock.
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=BUCKET, Key=key, VersionId=head["VersionId"], BypassGovernanceRetention=True)

    # A newer version may lie over it: the verification sees that, and the locked one is what it was.
    true = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    s3.put_object(Bucket=BUCKET, Key=key, Body=true.replace(b'thing:7"', b'thing:8"'))
    s3.delete_object(Bucket=BUCKET, Key=f"{second.name}/checkpoint")
    found = [str(finding) for finding in verify_log(processes=1).findings]
    assert f"export {export.name}: entry 7: differs from the database's: target" in found
    assert f"export {second.name}: checkpoint: is missing" in found
    assert s3.get_object(Bucket=BUCKET, Key=key, VersionId=head["VersionId"])["Body"].read() == true
    assert Export.objects.count() == 2
