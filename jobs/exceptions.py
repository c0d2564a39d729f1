"""What can go wrong with a job."""

from collections.abc import Mapping
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException


class UnknownJobType(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "unknown_job_type"
    default_detail = "There is no job type with this name."


class JobNotFound(APIException):
    status_code = status.HTTP_404_NOT_FOUND
    default_code = "job_not_found"
    default_detail = "There is no job with this id."


class JobAlreadyFinished(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "job_already_finished"
    default_detail = "The job has already ended and can no longer be cancelled."


class InputTooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_code = "input_too_large"
    default_detail = "The job's input is larger than its type allows."


class IdempotencyKeyInvalid(APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_code = "idempotency_key_invalid"
    default_detail = "Idempotency-Key must be 1 to 200 visible ASCII characters."


class IdempotencyKeyReused(APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_code = "idempotency_key_reused"
    default_detail = "This Idempotency-Key was used before with another job type or input."


class QueueFull(APIException):
    """Too many jobs wait; `wait` becomes the Retry-After header."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_code = "queue_full"
    default_detail = "Too many jobs are waiting in this queue; try again later."

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__()
        self.wait = retry_after_seconds
        self.extra: Mapping[str, Any] = {"retry_after_seconds": retry_after_seconds}


class JobCancelled(Exception):
    """The job was asked to stop; raised inside its handler by `progress` and `check_cancelled`."""


class LeaseLost(Exception):
    """Another worker took the job over, so this attempt may no longer write anything."""


class SecretInputLost(Exception):
    """The encrypted input is no longer there: it expired, or Redis was emptied."""


class JobTypeConflict(Exception):
    """Two handlers were registered under one name."""
