"""The admin API over users and figures; `AdminApiMiddleware` stands before it as well."""

from uuid import UUID

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import BearerAuthentication
from accounts.exceptions import UserNotFound
from accounts.models import User
from accounts.permissions import IsAdmin
from accounts.selectors import get_user, list_users
from accounts.serializers import (
    AdminMetricsSerializer,
    CreatedUserSerializer,
    CreateUserSerializer,
    UpdateUserSerializer,
    UserPageSerializer,
    UserSerializer,
    UsersQuerySerializer,
)
from accounts.services import create_user, delete_user, invite, read_admin_metrics, update_user

TAG = ["Admin operations"]
PROBLEMS = {
    400: OpenApiTypes.OBJECT,
    401: OpenApiTypes.OBJECT,
    403: OpenApiTypes.OBJECT,
    404: OpenApiTypes.OBJECT,
    409: OpenApiTypes.OBJECT,
}


class AdminApiView(APIView):
    """A view for administrators who bring an access token."""

    authentication_classes = (BearerAuthentication,)
    permission_classes = (IsAdmin,)


def acting(request: Request) -> User:
    """Return the admin who asks; the permission has let nobody else in."""
    assert isinstance(request.user, User)
    return request.user


class AdminUsersView(AdminApiView):
    """Lists and creates users."""

    @extend_schema(
        operation_id="admin_users_list",
        tags=TAG,
        parameters=[UsersQuerySerializer],
        responses={200: UserPageSerializer, **PROBLEMS},
    )
    def get(self, request: Request) -> Response:
        query = UsersQuerySerializer(data=request.query_params.dict())
        query.is_valid(raise_exception=True)
        wanted = query.validated_data
        users = list_users(role=wanted.get("role"), is_active=wanted["is_active"])
        page = users[wanted["offset"] : wanted["offset"] + wanted["limit"]]
        return Response({"count": users.count(), "results": UserSerializer(page, many=True).data})

    @extend_schema(
        operation_id="admin_users_create",
        tags=TAG,
        request=CreateUserSerializer,
        responses={201: CreatedUserSerializer, **PROBLEMS},
    )
    def post(self, request: Request) -> Response:
        serializer = CreateUserSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = create_user(actor=acting(request), **serializer.validated_data)
        return Response(
            {**UserSerializer(user).data, "invitation_url": invite(user=user)},
            status=status.HTTP_201_CREATED,
            headers={"Location": reverse("admin_user", args=[user.pk]), "Cache-Control": "no-store"},
        )


class AdminUserView(AdminApiView):
    """Shows, changes and deletes one user."""

    @extend_schema(operation_id="admin_users_get", tags=TAG, responses={200: UserSerializer, **PROBLEMS})
    def get(self, request: Request, user_id: UUID) -> Response:
        user = get_user(user_id)
        if user is None:
            raise UserNotFound
        return Response(UserSerializer(user).data)

    @extend_schema(
        operation_id="admin_users_update",
        tags=TAG,
        request=UpdateUserSerializer,
        responses={200: UserSerializer, **PROBLEMS},
    )
    def put(self, request: Request, user_id: UUID) -> Response:
        serializer = UpdateUserSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        user = update_user(actor=acting(request), user_id=user_id, **serializer.validated_data)
        return Response(UserSerializer(user).data)

    @extend_schema(operation_id="admin_users_delete", tags=TAG, responses={204: None, **PROBLEMS})
    def delete(self, request: Request, user_id: UUID) -> Response:
        delete_user(actor=acting(request), user_id=user_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class AdminMetricsView(AdminApiView):
    """Shows request rate, latency, errors, queues, workers and the indexer's lag."""

    @extend_schema(operation_id="admin_metrics", tags=TAG, responses={200: AdminMetricsSerializer, **PROBLEMS})
    def get(self, request: Request) -> Response:
        return Response(read_admin_metrics(), headers={"Cache-Control": "no-store"})
