"""What an API key may ask of GraphQL."""

import pytest

from apikeys.tests.factories import api_key, make_key
from config.tests.graphql import ask, codes_of, data_of

pytestmark = pytest.mark.django_db


def test_a_key_reads_what_its_scopes_name(client, admin):
    _, none = make_key(owner=admin, scopes=["elections:read"])
    _, text = make_key(owner=admin, scopes=["graphql", "elections:read"])
    query = "{ elections { edges { cursor } } }"
    assert ask(client, query, headers=api_key(none)).json()["code"] == "api_key_scope_missing"
    assert data_of(ask(client, query, headers=api_key(text)))
    assert codes_of(ask(client, "{ users { count } }", headers=api_key(text))) == [("api_key_scope_missing", 403)]
    assert codes_of(ask(client, "{ me { id } }", headers=api_key(text))) == [("api_key_not_accepted", 403)]
