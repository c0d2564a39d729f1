"""WebSocket door of `jobs`: one socket follows one job."""

import uuid
from typing import Any

from channels.db import database_sync_to_async
from rest_framework.exceptions import APIException

from accounts.services import authenticate_bearer
from accounts.sockets import HeartbeatConsumer
from jobs.selectors import get_job
from jobs.serializers import JobSerializer
from jobs.services.pushing import group_of


class JobConsumer(HeartbeatConsumer):
    """Push a job as `GET /jobs/{id}` shows it, now and at each change; close normally when it has ended.

    The token is checked again at each push, so a revoked one sees nothing more.
    """

    async def opened(self) -> None:
        self.job_id: uuid.UUID = self.scope["url_route"]["kwargs"]["job_id"]
        await self.load()  # refuses before anything is joined
        # Joined before it is read again: a change in between is not missed.
        await self.channel_layer.group_add(group_of(self.job_id), self.channel_name)
        self.is_member = True
        self.show(await self.load())

    async def job_changed(self, event: dict[str, Any]) -> None:
        if self.is_closing:
            return
        try:
            self.show(await self.load())
        except APIException as error:
            self.refuse(error)

    def show(self, job: dict[str, Any]) -> None:
        self.push_json({"type": "job", "job": job})
        if job["finished_at"] is not None:
            self.finish(1000, "job_finished")

    @database_sync_to_async
    def load(self) -> dict[str, Any]:
        user = authenticate_bearer(self.bearer_token)
        return dict(JobSerializer(get_job(job_id=self.job_id, viewer=user)).data)

    async def gone(self) -> None:
        if getattr(self, "is_member", False):
            await self.channel_layer.group_discard(group_of(self.job_id), self.channel_name)
