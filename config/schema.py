"""The GraphQL schema: every app's queries and mutations, each behind the permission that its app names for it."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import graphene
from graphene.utils.str_converters import to_snake_case
from graphql import GraphQLObjectType, GraphQLSchema
from rest_framework.exceptions import NotAuthenticated, PermissionDenied
from rest_framework.permissions import BasePermission

import accounts.schema
import audit.schema
import elections.schema
import jobs.schema
from apikeys.exceptions import ApiKeyNotAccepted, ApiKeyScopeMissing

APPS: list[ModuleType] = [elections.schema, jobs.schema, accounts.schema, audit.schema]
PERMISSIONS: dict[str, type[BasePermission]] = {}
SCOPES: dict[str, str] = {}
for app in APPS:
    PERMISSIONS |= app.PERMISSIONS
    SCOPES |= app.SCOPES
# Answers made of these alone are the same for everybody, and change only with an election.
PUBLIC_ELECTION_FIELDS = {"elections", "election", "tally", "turnout", "__typename"}


class Query(*(app.Query for app in APPS), graphene.ObjectType):  # type: ignore[misc]
    """What may be read."""


class Mutation(*(app.Mutation for app in APPS if hasattr(app, "Mutation")), graphene.ObjectType):  # type: ignore[misc]
    """What may be changed."""


def check_access(context: Any, *, permission: type[BasePermission], scope: str | None) -> None:
    """Check a root field as REST checks a view: its permission, and for API keys its scope, none being refused."""
    if context.key is not None:
        if scope is None:
            raise ApiKeyNotAccepted
        if scope not in context.key.scopes:
            raise ApiKeyScopeMissing(f"The key lacks the scope {scope}.")
    if not permission().has_permission(context, None):  # type: ignore[arg-type]
        if not context.user.is_authenticated:
            raise NotAuthenticated
        raise PermissionDenied(detail=getattr(permission, "message", None), code=getattr(permission, "code", None))


def guarded(resolve: Callable[..., Any], *, permission: type[BasePermission], scope: str | None) -> Callable[..., Any]:
    def resolve_guarded(root: Any, info: Any, **arguments: Any) -> Any:
        check_access(info.context, permission=permission, scope=scope)
        return resolve(root, info, **arguments)

    return resolve_guarded


def guard_root_fields(built: GraphQLSchema) -> None:
    """Put each root field behind its permission; a field for which its app names none stops the start."""
    for root in (built.query_type, built.mutation_type):
        assert isinstance(root, GraphQLObjectType)
        for name, definition in root.fields.items():
            key = to_snake_case(name)
            assert definition.resolve is not None
            definition.resolve = guarded(definition.resolve, permission=PERMISSIONS[key], scope=SCOPES.get(key))


schema = graphene.Schema(query=Query, mutation=Mutation)
guard_root_fields(schema.graphql_schema)
