"""GraphQL: users and figures for administrators, over the services that REST uses."""

from typing import Any
from uuid import UUID

import graphene
from graphene_django import DjangoObjectType

from accounts.exceptions import AdminRequired, UserNotFound
from accounts.models import Role as RoleChoices
from accounts.models import User as UserModel
from accounts.permissions import IsAdmin, IsSignedIn
from accounts.selectors import get_user, list_users
from accounts.serializers import CreateUserSerializer, UpdateUserSerializer, UsersQuerySerializer
from accounts.services import create_user, delete_user, invite, read_admin_metrics, update_user
from audit.scalars import JSON, DateTime


class OpensAdminApi(IsAdmin):
    """Administrators, refused with the code of the REST routes under /admin/."""

    code = AdminRequired.default_code
    message = AdminRequired.default_detail


PERMISSIONS = {
    "me": IsSignedIn,
    "users": OpensAdminApi,
    "user": OpensAdminApi,
    "metrics": OpensAdminApi,
    "create_user": OpensAdminApi,
    "delete_user": OpensAdminApi,
    "set_role": OpensAdminApi,
}
SCOPES = {
    "users": "admin:read",
    "user": "admin:read",
    "metrics": "admin:read",
    "create_user": "admin:write",
    "delete_user": "admin:write",
    "set_role": "admin:write",
}

Role = graphene.Enum.from_enum(
    RoleChoices, name="Role", description=lambda value: "What a person may do." if value is None else f"{value.label}."
)


class User(DjangoObjectType):
    """A person: a citizen known by eID, or staff."""

    id = graphene.ID(required=True, description="The user's id.")
    email = graphene.String(description="Staff's e-mail; citizens may have none.")
    role = graphene.Field(Role, required=True, description="What the person may do.")
    is_active = graphene.Boolean(required=True, description="May sign in.")
    last_sign_in = DateTime(description="When the person last signed in.")
    created_at = DateTime(required=True, description="When the user was created.")

    class Meta:
        model = UserModel
        fields = ("id", "email", "is_active")

    @staticmethod
    def resolve_last_sign_in(user: UserModel, info: Any) -> Any:
        return user.last_login


class UserPage(graphene.ObjectType):
    """Users, oldest first."""

    count = graphene.Int(required=True, description="How many there are in all.")
    results = graphene.List(graphene.NonNull(User), required=True, description="The users of this page.")


class AdminMetrics(graphene.ObjectType):
    """Figures for administrators; a source that failed says `error` alone."""

    requests = JSON(description="per_second, p50_ms, p95_ms, p99_ms, error_ratio over the last minute.")
    queues = JSON(description="Waiting tasks by queue.")
    workers = JSON(description="Workers online, and their names.")
    indexer = JSON(description="head, indexed, lag_blocks, lag_seconds.")


class Query(graphene.ObjectType):
    me = graphene.Field(User, required=True, description="Who asks.")
    users = graphene.Field(
        UserPage,
        required=True,
        description="Users who are not deleted; for administrators.",
        role=Role(description="Only those with this role."),
        is_active=graphene.Boolean(description="Only active, or only deactivated ones."),
        limit=graphene.Int(description="1 to 200, 50 by default."),
        offset=graphene.Int(description="How many to skip."),
    )
    user = graphene.Field(
        User,
        required=True,
        description="One user; for administrators.",
        id=graphene.ID(required=True, description="The user's id."),
    )
    metrics = graphene.Field(AdminMetrics, required=True, description="Figures; for administrators.")

    @staticmethod
    def resolve_me(root: Any, info: Any) -> Any:
        return info.context.user

    @staticmethod
    def resolve_users(root: Any, info: Any, **given: Any) -> dict[str, Any]:
        data = {name: getattr(value, "value", value) for name, value in given.items() if value is not None}
        query = UsersQuerySerializer(data=data)
        query.is_valid(raise_exception=True)
        wanted = query.validated_data
        users = list_users(role=wanted.get("role"), is_active=wanted["is_active"])
        page = users[wanted["offset"] : wanted["offset"] + wanted["limit"]]
        return {"count": users.count(), "results": list(page)}

    @staticmethod
    def resolve_user(root: Any, info: Any, id: str) -> UserModel:  # noqa: A002
        user = get_user(user_id_of(id))
        if user is None:
            raise UserNotFound
        return user

    @staticmethod
    def resolve_metrics(root: Any, info: Any) -> dict[str, Any]:
        asked = {selection.name.value for node in info.field_nodes for selection in fields_below(node, info)}
        return read_admin_metrics(only=asked)


def fields_below(node: Any, info: Any) -> list[Any]:
    """List the fields selected below a node, through fragments: sources that nobody asks for cost nothing."""
    found = []
    for selection in node.selection_set.selections:
        if selection.kind == "field":
            found.append(selection)
        else:
            below = info.fragments[selection.name.value] if selection.kind == "fragment_spread" else selection
            found += fields_below(below, info)
    return found


def user_id_of(text: str) -> UUID:
    """Read a user's id; what is none names no user."""
    try:
        return UUID(text)
    except ValueError:
        raise UserNotFound from None


class CreateUser(graphene.Mutation):
    """Create a user, who signs in first by the invitation."""

    class Arguments:
        email = graphene.String(required=True, description="The e-mail.")
        role = Role(required=True, description="VIEWER or ADMIN.")

    user = graphene.Field(User, required=True, description="The user.")
    invitation_url = graphene.String(
        required=True, description="Where the person signs in by eID for the first time; valid for a week, once."
    )

    @staticmethod
    def mutate(root: Any, info: Any, email: str, role: Any) -> dict[str, Any]:
        new = CreateUserSerializer(data={"email": email, "role": role.value})
        new.is_valid(raise_exception=True)
        user = create_user(actor=info.context.user, **new.validated_data)
        return {"user": user, "invitation_url": invite(user=user)}


class DeleteUser(graphene.Mutation):
    """Delete a user: sign-ins end, the e-mail is free again, the audit trail stays."""

    class Arguments:
        id = graphene.ID(required=True, description="The user's id.")

    id = graphene.ID(required=True, description="The deleted user's id.")

    @staticmethod
    def mutate(root: Any, info: Any, id: str) -> dict[str, Any]:  # noqa: A002
        delete_user(actor=info.context.user, user_id=user_id_of(id))
        return {"id": id}


class SetRole(graphene.Mutation):
    """Give a user another role, at once also for tokens already issued."""

    class Arguments:
        id = graphene.ID(required=True, description="The user's id.")
        role = Role(required=True, description="The new role.")

    user = graphene.Field(User, required=True, description="The user.")

    @staticmethod
    def mutate(root: Any, info: Any, id: str, role: Any) -> dict[str, Any]:  # noqa: A002
        new = UpdateUserSerializer(data={"role": role.value})
        new.is_valid(raise_exception=True)
        return {"user": update_user(actor=info.context.user, user_id=user_id_of(id), **new.validated_data)}


class Mutation(graphene.ObjectType):
    create_user = CreateUser.Field(required=True, description="Create a user; for administrators.")
    delete_user = DeleteUser.Field(required=True, description="Delete a user; for administrators.")
    set_role = SetRole.Field(required=True, description="Give a user another role; for administrators.")
