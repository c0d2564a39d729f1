"""REST doors of `jobs`."""

import uuid
from typing import Any, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import IsSignedIn
from jobs.exceptions import UnknownJobType
from jobs.models import Job
from jobs.selectors import get_job, list_jobs
from jobs.serializers import (
    JobFilterSerializer,
    JobPageSerializer,
    JobSerializer,
    JobSummarySerializer,
    JobTypeSerializer,
)
from jobs.services import cancel, get_job_type, list_startable_types, start

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="Up to 200 visible ASCII characters. The same key with the same input gives back the first job.",
)
POLL_SECONDS = "2"


class JobPagination(CursorPagination):
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"
    ordering = ("-created_at", "id")


class JobListView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"GET": "jobs:read"}

    @extend_schema(
        tags=["Jobs"],
        operation_id="list_jobs",
        parameters=[JobFilterSerializer],
        responses={200: JobPageSerializer},
    )
    def get(self, request: Request) -> Response:
        """List your jobs, newest first; administrators see everyone's."""
        wanted = JobFilterSerializer(data=request.query_params)
        wanted.is_valid(raise_exception=True)
        jobs = list_jobs(
            viewer=cast(User, request.user),
            status=wanted.validated_data.get("status", ""),
            type=wanted.validated_data.get("type", ""),
        )
        paginator = JobPagination()
        page: list[Job] = paginator.paginate_queryset(jobs, request, view=self) or []
        return paginator.get_paginated_response(JobSummarySerializer(page, many=True).data)


class JobTypeListView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"GET": "jobs:read"}

    @extend_schema(tags=["Jobs"], operation_id="list_job_types", responses={200: JobTypeSerializer(many=True)})
    def get(self, request: Request) -> Response:
        """List the job types that you may start, each with the JSON Schema of its input."""
        return Response(JobTypeSerializer(list_startable_types(request=request), many=True).data)


class JobStartView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"POST": "jobs:write"}

    @extend_schema(
        tags=["Jobs"],
        operation_id="start_job",
        parameters=[IDEMPOTENCY_KEY, OpenApiParameter("type", str, OpenApiParameter.PATH)],
        request=OpenApiTypes.OBJECT,
        responses={
            202: OpenApiResponse(JobSerializer, description="Queued; `Location` is the job's address."),
            404: OpenApiResponse(description="`unknown_job_type`"),
            413: OpenApiResponse(description="`input_too_large`"),
            422: OpenApiResponse(description="`idempotency_key_reused`"),
            503: OpenApiResponse(description="`queue_full`, with `Retry-After`"),
        },
    )
    def post(self, request: Request, type: str) -> Response:  # noqa: A002
        """Start a job; the body is the input that its type asks for (see `/jobs/types`)."""
        job_type = get_job_type(type)
        if job_type.permission is None:
            raise UnknownJobType
        if not job_type.permission().has_permission(request, self):
            self.permission_denied(request)
        job = start(
            type=type,
            input=request.data,
            owner=cast(User, request.user),
            idempotency_key=request.headers.get("Idempotency-Key", ""),
        )
        headers = {"Location": reverse("job", args=[job.pk]), "Retry-After": POLL_SECONDS}
        if job.is_replay:
            headers["Idempotency-Replayed"] = "true"
        return Response(JobSerializer(job).data, status=status.HTTP_202_ACCEPTED, headers=headers)


class JobView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"GET": "jobs:read", "DELETE": "jobs:write"}

    @extend_schema(tags=["Jobs"], operation_id="get_job", responses={200: JobSerializer})
    def get(self, request: Request, job_id: uuid.UUID) -> Response:
        """Show a job: its status, progress, and its result or why it failed."""
        job = get_job(job_id=job_id, viewer=cast(User, request.user))
        headers: dict[str, Any] = {} if job.is_finished else {"Retry-After": POLL_SECONDS}
        return Response(JobSerializer(job).data, headers=headers)

    @extend_schema(
        tags=["Jobs"],
        operation_id="cancel_job",
        responses={
            200: OpenApiResponse(JobSerializer, description="Cancelled before it ran."),
            202: OpenApiResponse(JobSerializer, description="Running: it was asked to stop."),
            409: OpenApiResponse(description="`job_already_finished`"),
        },
    )
    def delete(self, request: Request, job_id: uuid.UUID) -> Response:
        """Cancel a job: at once while it waits; a running one stops soon after."""
        job = cancel(job_id=job_id, by=cast(User, request.user))
        code = status.HTTP_200_OK if job.is_finished else status.HTTP_202_ACCEPTED
        return Response(JobSerializer(job).data, status=code)
