"""The schema: permissions, descriptions, committed files, and what production leaves out."""

import hashlib
import json
import re
from pathlib import Path

import pytest
from graphql import GraphQLObjectType, is_enum_type, is_input_object_type
from rest_framework.permissions import AllowAny

from config.graphql import write_types
from config.graphql.plans import persisted_documents
from config.schema import PERMISSIONS, PUBLIC_ELECTION_FIELDS, SCOPES, guard_root_fields, schema

pytestmark = pytest.mark.django_db


def test_every_root_field_names_its_permission_and_every_scope_a_field():
    names = set(PERMISSIONS)
    built = schema.graphql_schema
    from graphene.utils.str_converters import to_snake_case

    fields = {to_snake_case(name) for root in (built.query_type, built.mutation_type) for name in root.fields}
    assert fields == names
    assert set(SCOPES) <= names


def test_what_is_kept_for_everybody_is_open_to_everybody():
    assert {PERMISSIONS[name] for name in PUBLIC_ELECTION_FIELDS - {"__typename"}} == {AllowAny}


def test_a_root_field_without_a_permission_stops_the_start(monkeypatch):
    monkeypatch.delitem(PERMISSIONS, "users")
    with pytest.raises(KeyError):
        guard_root_fields(schema.graphql_schema)


def test_everything_is_described():
    undescribed = []
    for name, kind in schema.graphql_schema.type_map.items():
        if name.startswith("__") or name in {"String", "Boolean", "Int", "ID", "Float"}:
            continue
        if not kind.description:
            undescribed.append(name)
        if isinstance(kind, GraphQLObjectType) or is_input_object_type(kind):
            for field_name, field in kind.fields.items():
                if not field.description:
                    undescribed.append(f"{name}.{field_name}")
                for argument_name, argument in getattr(field, "args", {}).items():
                    if not argument.description:
                        undescribed.append(f"{name}.{field_name}({argument_name})")
        if is_enum_type(kind):
            undescribed += [f"{name}.{value}" for value, found in kind.values.items() if not found.description]
    assert undescribed == []


def test_the_committed_schema_and_types_are_those_of_the_code(tmp_path):
    write_types.write(tmp_path)
    assert write_types.stale(tmp_path) == [], "run `make graphql-types`"
    compile((tmp_path / write_types.PYTHON).read_text(), "schema_types.py", "exec")


def test_graphiql_is_there_only_where_it_is_on(client, settings):
    assert client.get("/graphiql").status_code == 404
    assert client.get("/graphiql/start.js").status_code == 404
    settings.GRAPHIQL = True
    page = client.get("/graphiql")
    assert "//" not in re.sub(r"<!doctype html>", "", page.content.decode())  # no outside asset
    assert "script-src" not in page["Content-Security-Policy"]  # hence 'self'
    for name in re.findall(r"/graphiql/([a-z.-]+)", page.content.decode()):
        assert client.get(f"/graphiql/{name}").status_code == 200
    assert client.get("/graphiql/settings.py").status_code == 404


def test_production_has_neither_graphiql_nor_introspection():
    import config.settings.base as base

    assert base.GRAPHIQL is False
    assert base.GRAPHQL_INTROSPECTION is False
    production = (Path(base.BASE_DIR) / "config" / "settings" / "production.py").read_text()
    assert "GRAPHI" not in production


def test_persisted_ids_are_the_hashes_of_their_texts():
    for key, text in persisted_documents().items():
        assert key == hashlib.sha256(text.encode()).hexdigest()
        json.dumps(text)
