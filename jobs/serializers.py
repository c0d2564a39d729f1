"""Shapes of the jobs API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.models import Job, JobStatus
from jobs.selectors import get_result


class ProgressSerializer(serializers.Serializer):
    done = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    message = serializers.CharField(allow_blank=True)


class JobProblemSerializer(serializers.Serializer):
    """Why a job failed; some codes carry further members."""

    code = serializers.CharField()
    detail = serializers.CharField()


class JobSummarySerializer(serializers.ModelSerializer):
    """A job in a list: everything but its result."""

    status = serializers.ChoiceField(choices=JobStatus.choices)
    progress = serializers.SerializerMethodField()
    problem = serializers.SerializerMethodField()
    is_cancel_requested = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields: tuple[str, ...] = (
            "id",
            "type",
            "status",
            "progress",
            "problem",
            "is_parked",
            "is_cancel_requested",
            "attempts",
            "max_attempts",
            "created_at",
            "started_at",
            "finished_at",
        )
        read_only_fields = fields

    @extend_schema_field(ProgressSerializer)
    def get_progress(self, job: Job) -> dict[str, Any]:
        return {"done": job.progress_done, "total": job.progress_total, "message": job.progress_message}

    @extend_schema_field(JobProblemSerializer(allow_null=True))
    def get_problem(self, job: Job) -> dict[str, Any] | None:
        return job.problem

    def get_is_cancel_requested(self, job: Job) -> bool:
        return job.cancel_requested_at is not None


class JobSerializer(JobSummarySerializer):
    """One job; `result` is set once it has succeeded, until it expires."""

    result = serializers.SerializerMethodField()
    is_result_expired = serializers.SerializerMethodField()

    class Meta(JobSummarySerializer.Meta):
        fields: tuple[str, ...] = (*JobSummarySerializer.Meta.fields, "result", "is_result_expired")
        read_only_fields = fields

    def to_representation(self, instance: Job) -> dict[str, Any]:
        self.found = get_result(job=instance)
        return super().to_representation(instance)

    @extend_schema_field({"type": ["object", "null"], "additionalProperties": True})
    def get_result(self, job: Job) -> Any:
        return self.found[0]

    def get_is_result_expired(self, job: Job) -> bool:
        return self.found[1]


class JobTypeSerializer(serializers.Serializer):
    name = serializers.CharField()
    description = serializers.CharField()
    queue = serializers.CharField()
    input_schema = serializers.JSONField()
    is_secret = serializers.BooleanField()
    max_attempts = serializers.IntegerField()
    soft_time_limit_seconds = serializers.IntegerField()
    memory_limit_mb = serializers.IntegerField(allow_null=True)
    max_input_bytes = serializers.IntegerField()


class JobFilterSerializer(serializers.Serializer):
    """Query parameters of the list."""

    status = serializers.ChoiceField(choices=JobStatus.choices, required=False)
    type = serializers.CharField(max_length=100, required=False)
    cursor = serializers.CharField(required=False, help_text="From `next` or `previous` of another page.")
    page_size = serializers.IntegerField(min_value=1, max_value=200, required=False)


class JobPageSerializer(serializers.Serializer):
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = JobSummarySerializer(many=True)
