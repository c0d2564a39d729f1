"""GraphQL: jobs, over the services that REST uses."""

from typing import Any
from uuid import UUID

import graphene
from graphene_django import DjangoObjectType
from rest_framework.exceptions import NotAuthenticated, PermissionDenied

from accounts.permissions import IsSignedIn
from audit.connections import DEFAULT_SIZE, connection_of, page_of
from audit.scalars import JSON, BigInt, DateTime
from jobs.exceptions import JobNotFound, UnknownJobType
from jobs.models import Job as JobModel
from jobs.models import JobStatus as JobStatusChoices
from jobs.selectors import get_job, get_result, list_job_page
from jobs.serializers import JobTypeSerializer
from jobs.services import cancel, get_job_type, list_startable_types, start

PERMISSIONS = dict.fromkeys(("jobs", "job", "job_types", "start_job", "cancel_job"), IsSignedIn)
SCOPES = {
    "jobs": "jobs:read",
    "job": "jobs:read",
    "job_types": "jobs:read",
    "start_job": "jobs:write",
    "cancel_job": "jobs:write",
}

JobStatus = graphene.Enum.from_enum(
    JobStatusChoices,
    name="JobStatus",
    description=lambda value: "Where a job stands." if value is None else f"{value.label}.",
)


class JobProgress(graphene.ObjectType):
    """How far a job is."""

    done = BigInt(required=True, description="Steps done.")
    total = BigInt(description="Steps in all, where that is known.")
    message = graphene.String(required=True, description="What it is doing.")


class JobProblem(graphene.ObjectType):
    """Why a job failed."""

    code = graphene.String(required=True, description="The stable code.")
    detail = graphene.String(required=True, description="What happened.")


class Job(DjangoObjectType):
    """One piece of heavy work."""

    id = graphene.ID(required=True, description="The job's id.")
    type = graphene.String(required=True, description="What it does, such as chain.create_election.")
    status = graphene.Field(JobStatus, required=True, description="Where it stands.")
    progress = graphene.Field(JobProgress, required=True, description="How far it is.")
    problem = graphene.Field(JobProblem, description="Why it failed; null unless it did.")
    is_parked = graphene.Boolean(required=True, description="It failed for good and waits for an operator.")
    is_cancel_requested = graphene.Boolean(required=True, description="It was asked to stop.")
    attempts = graphene.Int(required=True, description="How often it was tried.")
    max_attempts = graphene.Int(required=True, description="How often it may be tried.")
    created_at = DateTime(required=True, description="When it was started.")
    started_at = DateTime(description="When a worker first took it.")
    finished_at = DateTime(description="When it ended.")
    result = JSON(description="What it brought; null until it has succeeded, and once that has expired.")
    is_result_expired = graphene.Boolean(required=True, description="The result is no longer kept.")

    class Meta:
        model = JobModel
        fields = ("id", "type", "is_parked", "attempts", "max_attempts")

    @staticmethod
    def resolve_progress(job: JobModel, info: Any) -> dict[str, Any]:
        return {"done": job.progress_done, "total": job.progress_total, "message": job.progress_message}

    @staticmethod
    def resolve_is_cancel_requested(job: JobModel, info: Any) -> bool:
        return job.cancel_requested_at is not None

    @staticmethod
    def resolve_result(job: JobModel, info: Any) -> Any:
        return result_of(job)[0]

    @staticmethod
    def resolve_is_result_expired(job: JobModel, info: Any) -> bool:
        return result_of(job)[1]


def result_of(job: JobModel) -> tuple[Any, bool]:
    """Read a job's result once; a list's were read together (`list_job_page`)."""
    found: tuple[Any, bool] | None = getattr(job, "found_result", None)
    if found is None:
        found = get_result(job=job)
        job.found_result = found  # type: ignore[attr-defined]
    return found


JobConnection = connection_of(Job)


class JobType(graphene.ObjectType):
    """A kind of job that you may start."""

    name = graphene.String(required=True, description="Give as `type` of `startJob`.")
    description = graphene.String(required=True, description="What it does.")
    queue = graphene.String(required=True, description="The queue in which it waits.")
    input_schema = JSON(required=True, description="JSON Schema of its input.")
    is_secret = graphene.Boolean(required=True, description="Its input is kept encrypted and shown to nobody.")
    max_attempts = graphene.Int(required=True, description="How often it is tried.")
    soft_time_limit_seconds = graphene.Int(required=True, description="How long an attempt may take.")
    memory_limit_mb = graphene.Int(description="How much memory it may take; null: not limited.")
    max_input_bytes = graphene.Int(required=True, description="How large its input may be.")


class Query(graphene.ObjectType):
    jobs = graphene.Field(
        JobConnection,
        required=True,
        description="Your jobs, newest first; administrators see everyone's.",
        status=JobStatus(description="Only those that stand so."),
        type=graphene.String(description="Only those of this type."),
        first=graphene.Int(description="1 to 100, 50 by default."),
        after=graphene.String(description="The `endCursor` of the page before."),
    )
    job = graphene.Field(
        Job,
        required=True,
        description="One job of yours; administrators see everyone's.",
        id=graphene.ID(required=True, description="The job's id."),
    )
    job_types = graphene.List(
        graphene.NonNull(JobType), required=True, description="The kinds of job that you may start."
    )

    @staticmethod
    def resolve_job_types(root: Any, info: Any) -> list[dict[str, Any]]:
        return list(JobTypeSerializer(list_startable_types(request=info.context), many=True).data)

    @staticmethod
    def resolve_jobs(
        root: Any,
        info: Any,
        status: Any = None,
        type: str | None = None,  # noqa: A002
        first: int | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        jobs, cursors, has_next = list_job_page(
            viewer=info.context.user,
            status=status.value if status else "",
            type=type or "",
            first=DEFAULT_SIZE if first is None else first,
            after=after or "",
        )
        return page_of(nodes=jobs, cursors=cursors, has_next=has_next, has_previous=bool(after))

    @staticmethod
    def resolve_job(root: Any, info: Any, id: str) -> JobModel:  # noqa: A002
        return get_job(job_id=job_id_of(id), viewer=info.context.user)


def job_id_of(text: str) -> UUID:
    """Read a job's id; what is none names no job."""
    try:
        return UUID(text)
    except ValueError:
        raise JobNotFound from None


class StartJob(graphene.Mutation):
    """Start a job; its type's schema (`jobTypes`) says what the input is."""

    class Arguments:
        type = graphene.String(required=True, description="The job type.")
        input = JSON(required=True, description="What the type asks for.")
        idempotency_key = graphene.String(description="A repeated key gives back the first job.")

    job = graphene.Field(Job, required=True, description="The job, queued.")

    @staticmethod
    def mutate(
        root: Any,
        info: Any,
        type: str,  # noqa: A002
        input: Any,  # noqa: A002
        idempotency_key: str | None = None,
    ) -> dict[str, Any]:
        job_type = get_job_type(type)
        if job_type.permission is None:
            raise UnknownJobType
        if not job_type.permission().has_permission(info.context, None):  # type: ignore[arg-type]
            raise PermissionDenied if info.context.user.is_authenticated else NotAuthenticated
        job = start(type=type, input=input, owner=info.context.user, idempotency_key=idempotency_key or "")
        return {"job": job}


class CancelJob(graphene.Mutation):
    """Cancel a job: at once while it waits; a running one stops soon after."""

    class Arguments:
        id = graphene.ID(required=True, description="The job's id.")

    job = graphene.Field(Job, required=True, description="The job as it stands now.")

    @staticmethod
    def mutate(root: Any, info: Any, id: str) -> dict[str, Any]:  # noqa: A002
        return {"job": cancel(job_id=job_id_of(id), by=info.context.user)}


class Mutation(graphene.ObjectType):
    start_job = StartJob.Field(required=True, description="Start a job.")
    cancel_job = CancelJob.Field(required=True, description="Cancel a job.")
