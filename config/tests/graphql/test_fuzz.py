"""schemathesis asks `/graphql` what its schema allows: never an internal error, never an unforeseen status."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from schemathesis.graphql import nodes

from accounts.tests.factories import UserFactory, bearer
from config.graphql.sdl import sdl
from elections.tests import factories as chain

pytestmark = [pytest.mark.django_db, pytest.mark.slow]

fuzzed = schemathesis.graphql.from_file(sdl())
fuzzed.config.update(base_url="http://localhost")
schemathesis.graphql.scalar("JSON", st.one_of(st.just(nodes.Object(fields=[])), st.integers().map(nodes.Int)))


@pytest.fixture
def admins_headers():
    chain.election(1, chain.vote(1))
    return bearer(UserFactory(role="admin"))


@fuzzed.parametrize()
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_what_the_schema_allows_is_answered(case, client, admins_headers):
    body = {"query": case.body} if isinstance(case.body, str) else case.body
    response = client.post("/graphql", body, "application/json", headers=admins_headers)
    assert response.status_code in {200, 400}, (case.body, response.content)
    for error in response.json().get("errors", ()):
        assert error["extensions"]["code"] != "internal_error", (case.body, error)
