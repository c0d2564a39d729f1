"""Tells listening sockets that a job has changed."""

import logging
import uuid

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer

logger = logging.getLogger(__name__)


def group_of(job_id: uuid.UUID) -> str:
    """Name the channel group of a job's listeners."""
    return f"job.{job_id}"


def publish(*, job_id: uuid.UUID) -> None:
    """Tell a job's listeners to look again; a push that fails is logged and changes nothing."""
    layer = get_channel_layer()
    if layer is None:
        return
    try:
        async_to_sync(layer.group_send)(group_of(job_id), {"type": "job.changed", "job_id": str(job_id)})
    except Exception as error:
        logger.warning("push for job %s failed (%s)", job_id, type(error).__name__)
