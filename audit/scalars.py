"""GraphQL scalars that every app's schema uses; they live in the innermost room."""

from datetime import datetime
from math import isfinite
from typing import Any

import graphene
from django.utils.dateparse import parse_datetime
from graphql import (
    BooleanValueNode,
    FloatValueNode,
    GraphQLError,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    ObjectValueNode,
    StringValueNode,
    VariableNode,
)


class DateTime(graphene.Scalar):
    """A moment in ISO 8601, in UTC, as REST writes it."""

    @staticmethod
    def serialize(value: Any) -> str:
        if isinstance(value, datetime):
            return value.isoformat().replace("+00:00", "Z")
        return str(value)

    @staticmethod
    def parse_value(value: Any) -> datetime:
        try:
            found = parse_datetime(value) if isinstance(value, str) and len(value) < 50 else None
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            raise GraphQLError("DateTime must be ISO 8601 with an offset.")
        return found

    @classmethod
    def parse_literal(cls, node: Any, _variables: Any = None) -> datetime:
        return cls.parse_value(node.value if isinstance(node, StringValueNode) else None)


class JSON(graphene.Scalar):
    """Any JSON value."""

    @staticmethod
    def serialize(value: Any) -> Any:
        return value

    @staticmethod
    def parse_value(value: Any) -> Any:
        return value

    @classmethod
    def parse_literal(cls, node: Any, variables: dict[str, Any] | None = None) -> Any:
        match node:
            case VariableNode():
                return (variables or {}).get(node.name.value)
            case StringValueNode() | BooleanValueNode():
                return node.value
            case IntValueNode() if len(node.value) < 80:
                return int(node.value)
            case FloatValueNode() if isfinite(float(node.value)):
                return float(node.value)
            case NullValueNode():
                return None
            case ListValueNode():
                return [cls.parse_literal(inner, variables) for inner in node.values]
            case ObjectValueNode():
                return {field.name.value: cls.parse_literal(field.value, variables) for field in node.fields}
        raise GraphQLError("JSON takes strings, numbers, booleans, null, lists and objects.")


class BigInt(graphene.Scalar):
    """A whole number of at most 256 bits, written as a JSON number."""

    @staticmethod
    def serialize(value: Any) -> int:
        return int(value)

    @staticmethod
    def parse_value(value: Any) -> int:
        if type(value) is not int or abs(value) >= 2**256:
            raise GraphQLError("BigInt must be a whole number of at most 256 bits.")
        return value

    @classmethod
    def parse_literal(cls, node: Any, _variables: Any = None) -> int:
        return cls.parse_value(int(node.value) if isinstance(node, IntValueNode) and len(node.value) < 80 else None)
