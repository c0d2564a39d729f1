"""The schema: permissions, descriptions, committed files, and what production leaves out."""

import hashlib
import importlib
import io
import json
import re
from pathlib import Path

import pytest
from graphql import GraphQLObjectType, is_enum_type, is_input_object_type
from rest_framework.permissions import AllowAny

from config.graphql import write_types
from config.graphql.plans import persisted_documents
from config.schema import PERMISSIONS, PUBLIC_ELECTION_FIELDS, SCOPES, guard_root_fields, schema
from elections.tests import factories as chain

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


@pytest.mark.slow
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


# The test that asks GraphQL for each root field and REST for the same.
COMPARED = {
    "elections": "test_elections::test_the_list_is_rests",
    "election": "test_elections::test_one_election_is_rests",
    "tally": "test_elections::test_one_election_is_rests",
    "turnout": "test_elections::test_one_election_is_rests",
    "census": "test_census::test_registration_census_and_proof_are_rests",
    "censusProof": "test_census::test_registration_census_and_proof_are_rests",
    "users": "test_users::test_users_are_rests",
    "user": "test_users::test_users_are_rests",
    "me": "test_users::test_users_are_rests",
    "metrics": "test_users::test_metrics_are_rests",
    "jobs": "test_jobs::test_jobs_are_rests",
    "job": "test_jobs::test_jobs_are_rests",
    "jobTypes": "test_jobs::test_the_kinds_of_job_are_rests",
    "auditEntries": "test_audit::test_audit_entries_are_rests",
    "auditReceipt": "test_audit::test_proofs_are_rests",
    "auditCheckpoint": "test_audit::test_proofs_are_rests",
}


def test_every_query_is_compared_with_rest():
    assert set(COMPARED) == set(schema.graphql_schema.query_type.fields)
    for name, place in COMPARED.items():
        file, _, function = place.partition("::")
        text = (Path(__file__).parent / f"{file}.py").read_text()
        body = text.partition(f"def {function}(")[2].partition("\n\n\n")[0]
        assert "client.get(" in body, place
        assert re.search(rf"\b{name}\b", text), place


def test_the_client_of_the_documentation_lists_open_elections(client, monkeypatch):
    folder = Path(write_types.ROOT) / "docs" / "graphql"
    monkeypatch.syspath_prepend(folder)
    documented = importlib.import_module("client")
    for number in range(1, 4):
        chain.election(number, chain.vote(number))

    def urlopen(request, timeout):
        answer = client.post("/graphql", request.data, request.headers["Content-type"])
        return io.BytesIO(answer.content)

    monkeypatch.setattr(documented, "urlopen", urlopen)
    found = list(documented.open_elections("http://localhost"))
    assert [(one["id"], one["turnout"]) for one in found] == [(f"31337-5fbdb231-{n}", 1) for n in (3, 2, 1)]
    with pytest.raises(documented.Refused, match="validation_failed"):
        documented.ask("http://localhost", "{ nothing }", {})
