"""The socket of a job shows what the REST door shows, to the same people."""

import uuid

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator

from accounts.models import Role
from accounts.tests.factories import UserFactory, access_token
from config.asgi import application
from jobs.models import JobStatus
from jobs.services import cancel, run_job, start
from jobs.tests.factories import job_type

pytestmark = pytest.mark.django_db(transaction=True)


def socket(job_id: object, token: str) -> WebsocketCommunicator:
    headers = [(b"authorization", f"Bearer {token}".encode()), (b"host", b"localhost")]
    return WebsocketCommunicator(application, f"/ws/jobs/{job_id}", headers=headers)


async def test_a_job_is_followed_from_queued_to_its_result():
    owner = await database_sync_to_async(UserFactory)()
    token = await database_sync_to_async(access_token)(owner)

    def handler(run, value):
        run.progress(done=1, total=2, message="half")
        return {"ok": True}

    with job_type(handler=handler):
        job = await database_sync_to_async(start)(type="tests.noop", input={}, owner=owner)
        listener = socket(job.pk, token)
        assert (await listener.connect(timeout=20))[0]
        first = await listener.receive_json_from(timeout=20)
        assert (first["type"], first["job"]["status"]) == ("job", "queued")
        assert await database_sync_to_async(run_job)(job_id=job.pk) == JobStatus.SUCCEEDED
        seen = []
        while not seen or seen[-1]["status"] != "succeeded":
            seen.append((await listener.receive_json_from(timeout=20))["job"])
        assert seen[-1]["result"] == {"ok": True}
        closed = await listener.receive_output(timeout=20)
        while closed["type"] == "websocket.send":
            closed = await listener.receive_output(timeout=20)
        assert (closed["code"], closed["reason"]) == (1000, "job_finished")


@pytest.mark.parametrize(("who", "code"), [("nobody", 4401), ("other", 4404), ("unknown", 4404)])
async def test_others_are_refused_with_a_reason(who, code):
    owner = await database_sync_to_async(UserFactory)()
    other = await database_sync_to_async(UserFactory)()
    with job_type():
        job = await database_sync_to_async(start)(type="tests.noop", input={}, owner=owner)
    token = "" if who == "nobody" else await database_sync_to_async(access_token)(other)
    listener = socket(uuid.uuid4() if who == "unknown" else job.pk, token)
    await listener.connect(timeout=20)
    assert (await listener.receive_json_from(timeout=20))["type"] == "error"
    assert (await listener.receive_output(timeout=20))["code"] == code


async def test_an_admin_may_follow_any_job():
    admin = await database_sync_to_async(UserFactory)(role=Role.ADMIN)
    with job_type():
        job = await database_sync_to_async(start)(type="tests.noop", input={})
        listener = socket(job.pk, await database_sync_to_async(access_token)(admin))
        await listener.connect(timeout=20)
        assert (await listener.receive_json_from(timeout=20))["job"]["id"] == str(job.pk)
        await listener.disconnect()


async def test_a_cancellation_is_pushed_and_ends_the_socket():
    owner = await database_sync_to_async(UserFactory)()
    with job_type():
        job = await database_sync_to_async(start)(type="tests.noop", input={}, owner=owner)
        listener = socket(job.pk, await database_sync_to_async(access_token)(owner))
        await listener.connect(timeout=20)
        assert (await listener.receive_json_from(timeout=20))["job"]["status"] == "queued"
        await database_sync_to_async(cancel)(job_id=job.pk, by=owner)
        assert (await listener.receive_json_from(timeout=20))["job"]["status"] == "cancelled"
        closed = await listener.receive_output(timeout=20)
        assert (closed["code"], closed["reason"]) == (1000, "job_finished")


async def test_whoever_may_no_longer_sign_in_sees_no_further_push():
    owner = await database_sync_to_async(UserFactory)()
    with job_type():
        job = await database_sync_to_async(start)(type="tests.noop", input={}, owner=owner)
        listener = socket(job.pk, await database_sync_to_async(access_token)(owner))
        await listener.connect(timeout=20)
        assert (await listener.receive_json_from(timeout=20))["job"]["status"] == "queued"
        owner.is_active = False
        await database_sync_to_async(owner.save)()
        assert await database_sync_to_async(run_job)(job_id=job.pk) == JobStatus.SUCCEEDED
        assert (await listener.receive_json_from(timeout=20))["type"] == "error"
        assert (await listener.receive_output(timeout=20))["code"] == 4401
