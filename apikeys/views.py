"""REST: administrators make, change, rotate and revoke API keys and see their usage."""

from datetime import timedelta
from typing import Any, ClassVar
from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import BearerAuthentication
from accounts.models import User
from accounts.permissions import IsAdmin
from accounts.services import actor_of
from apikeys import services
from apikeys.authentication import ApiKeyAuthentication, BasicAdminAuthentication
from apikeys.models import ApiKey
from apikeys.selectors import get_api_key, list_api_keys, list_daily_usage
from apikeys.serializers import (
    ApiKeyChanges,
    ApiKeyFilter,
    ApiKeyInput,
    ApiKeyOutput,
    ApiKeyPage,
    CreatedApiKey,
    RotationInput,
    UsageOutput,
    UsageQuery,
)

TAGS = ["Admin operations"]
SCOPE = "admin:api-keys"


class ApiKeyPagination(CursorPagination):
    ordering = ("-created_at", "id")
    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 100


# What the views of this file share: who may, and by which credentials. (A docstring would describe their routes.)
class ApiKeyAdminView(APIView):
    authentication_classes = [BearerAuthentication, BasicAdminAuthentication, ApiKeyAuthentication]
    permission_classes = [IsAdmin]
    api_key_scopes: ClassVar[dict[str, str]] = {}

    def get_authenticate_header(self, request: Request) -> str:
        """Offer every scheme that opens these routes."""
        offers = [authenticator.authenticate_header(request) for authenticator in self.get_authenticators()]
        return ", ".join(offer for offer in offers if offer)

    @property
    def actor(self) -> str:
        assert isinstance(self.request.user, User)
        return actor_of(self.request.user)


def with_plaintext(key: ApiKey, text: str) -> Response:
    response = Response(ApiKeyOutput(key).data | {"key": text}, status=status.HTTP_201_CREATED)
    response["Cache-Control"] = "no-store"
    return response


class ApiKeyListView(ApiKeyAdminView):
    api_key_scopes = {"GET": SCOPE, "POST": SCOPE}

    @extend_schema(
        tags=TAGS,
        operation_id="list_api_keys",
        parameters=[ApiKeyFilter],
        responses=ApiKeyPage,
        summary="List API keys, newest first",
    )
    def get(self, request: Request) -> Response:
        query = ApiKeyFilter(data=request.query_params)
        query.is_valid(raise_exception=True)
        keys = list_api_keys(owner_id=query.validated_data.get("owner"), is_active=query.validated_data.get("active"))
        paginator = ApiKeyPagination()
        page = paginator.paginate_queryset(keys, request, view=self)
        return paginator.get_paginated_response(ApiKeyOutput(page, many=True).data)

    @extend_schema(
        tags=TAGS,
        operation_id="create_api_key",
        request=ApiKeyInput,
        responses={201: CreatedApiKey},
        summary="Make an API key; the answer is the only place where it is shown",
    )
    def post(self, request: Request) -> Response:
        data = ApiKeyInput(data=request.data)
        data.is_valid(raise_exception=True)
        values = {"owner": request.user} | data.validated_data
        key, text = services.create_api_key(**values, actor=self.actor)
        return with_plaintext(key, text)


class ApiKeyView(ApiKeyAdminView):
    api_key_scopes = {"GET": SCOPE, "PATCH": SCOPE, "DELETE": SCOPE}

    @extend_schema(tags=TAGS, operation_id="get_api_key", responses=ApiKeyOutput, summary="Show an API key")
    def get(self, request: Request, key_id: UUID) -> Response:
        return Response(ApiKeyOutput(get_api_key(key_id=key_id)).data)

    @extend_schema(
        tags=TAGS,
        operation_id="update_api_key",
        request=ApiKeyChanges(partial=True),
        responses=ApiKeyOutput,
        summary="Change a key's name, scopes, expiry or limit",
    )
    def patch(self, request: Request, key_id: UUID) -> Response:
        data = ApiKeyChanges(data=request.data, partial=True)
        data.is_valid(raise_exception=True)
        services.update_api_key(key_id=key_id, changes=data.validated_data, actor=self.actor)
        return Response(ApiKeyOutput(get_api_key(key_id=key_id)).data)

    @extend_schema(
        tags=TAGS, operation_id="revoke_api_key", responses={204: None}, summary="Revoke an API key for good"
    )
    def delete(self, request: Request, key_id: UUID) -> Response:
        services.revoke_api_key(key_id=key_id, actor=self.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ApiKeyRotationView(ApiKeyAdminView):
    api_key_scopes = {"POST": SCOPE}

    @extend_schema(
        tags=TAGS,
        operation_id="rotate_api_key",
        request=RotationInput,
        responses={201: CreatedApiKey},
        summary="Make a key's successor; the old key goes on for the overlap",
    )
    def post(self, request: Request, key_id: UUID) -> Response:
        data = RotationInput(data=request.data)
        data.is_valid(raise_exception=True)
        key, text = services.rotate_api_key(key_id=key_id, **data.validated_data, actor=self.actor)
        return with_plaintext(key, text)


class ApiKeyUsageView(ApiKeyAdminView):
    api_key_scopes = {"GET": SCOPE}

    @extend_schema(
        tags=TAGS,
        operation_id="get_api_key_usage",
        parameters=[OpenApiParameter("days", int, description="1 to 90, 30 by default")],
        responses=UsageOutput,
        summary="Count a key's requests by day, route and status",
    )
    def get(self, request: Request, key_id: UUID) -> Response:
        query = UsageQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        days: int = query.validated_data["days"]
        key = get_api_key(key_id=key_id)
        rows: list[dict[str, Any]] = list(list_daily_usage(key_id=key.pk, since=timezone.now() - timedelta(days=days)))
        total = sum(row["total"] for row in rows)
        return Response(UsageOutput({"days": days, "requests": total, "rows": rows}).data)
