"""Writes the schema in GraphQL's own language."""

from graphql import print_schema

from config.schema import schema


def sdl() -> str:
    """Return the schema as docs/schema.graphql holds it."""
    return print_schema(schema.graphql_schema) + "\n"
