"""Users and figures over GraphQL, and who may see and change them."""

import uuid

import pytest

from accounts.models import User
from accounts.tests.factories import UserFactory, bearer
from audit.models import Entry
from config.tests.graphql import ask, codes_of, data_of, lower_enums, snake

pytestmark = pytest.mark.django_db


USERS = "query ($role: Role) { users(role: $role) { count results { id email role isActive lastSignIn createdAt } } }"


def test_users_are_rests(client, admin, django_assert_num_queries):
    UserFactory.create_batch(100, role="viewer")
    headers = bearer(admin)
    found = lower_enums(snake(data_of(ask(client, USERS, {"role": "VIEWER"}, headers=headers))["users"]))
    assert found == client.get("/admin/users?role=viewer", headers=headers).json()
    with django_assert_num_queries(3):  # the caller, the number, the page
        data_of(ask(client, USERS, headers=headers))
    one = f'{{ user(id: "{admin.pk}") {{ ...U }} me {{ ...U }} }} fragment U on User {{ id email role isActive }}'
    [expected] = client.get("/admin/users?role=admin", headers=headers).json()["results"]
    found = lower_enums(snake(data_of(ask(client, one, headers=headers))))
    assert found["user"] == found["me"] == {name: expected[name] for name in found["me"]}
    for unknown in (uuid.uuid4(), "x"):
        assert codes_of(ask(client, f'{{ user(id: "{unknown}") {{ id }} }}', headers=headers)) == [
            ("user_not_found", 404)
        ]


@pytest.mark.parametrize(
    "query",
    [
        "{ users { count } }",
        '{ user(id: "1") { id } }',
        "{ metrics { queues } }",
        'mutation { createUser(email: "a@example.org", role: ADMIN) { user { id } } }',
        'mutation { deleteUser(id: "{id}") { id } }',
        'mutation { setRole(id: "{id}", role: ADMIN) { user { id } } }',
    ],
)
def test_admin_fields_refuse_as_rest_does(client, query):
    victim = UserFactory(role="viewer")
    query = query.replace("{id}", str(victim.pk))
    viewer = UserFactory(role="viewer")
    headers = bearer(viewer)
    before = User.objects.count()
    rest = [client.get("/admin/users"), client.get("/admin/users", headers=headers)]
    codes = [codes_of(ask(client, query)), codes_of(ask(client, query, headers=headers))]
    assert codes == [[(answer.json()["code"], answer.status_code)] for answer in rest]
    assert [status for [(_, status)] in codes] == [401, 403]
    assert User.objects.count() == before
    victim.refresh_from_db()
    assert (victim.role, victim.is_active) == ("viewer", True)
    assert not Entry.objects.filter(action__startswith="accounts.user").exists()


def test_users_are_made_changed_and_deleted(client, admin):
    headers = bearer(admin)
    query = 'mutation { createUser(email: "new@example.org", role: VIEWER) { user { id role } invitationUrl } }'
    made = data_of(ask(client, query, headers=headers))["createUser"]
    assert made["invitationUrl"].startswith("http")
    assert codes_of(ask(client, query, headers=headers)) == [("email_taken", 409)]
    user_id = made["user"]["id"]
    query = f'mutation {{ setRole(id: "{user_id}", role: ADMIN) {{ user {{ role }} }} }}'
    assert data_of(ask(client, query, headers=headers))["setRole"]["user"]["role"] == "ADMIN"
    query = f'mutation {{ deleteUser(id: "{user_id}") {{ id }} }}'
    assert data_of(ask(client, query, headers=headers))["deleteUser"]["id"] == user_id
    assert codes_of(ask(client, query, headers=headers)) == [("user_not_found", 404)]
    assert codes_of(ask(client, f'mutation {{ deleteUser(id: "{admin.pk}") {{ id }} }}', headers=headers)) == [
        ("own_account", 403)
    ]
    actions = list(Entry.objects.filter(actor=f"user:{admin.pk}").order_by("id").values_list("action", flat=True))
    assert actions == ["accounts.user.created", "accounts.user.updated", "accounts.user.deleted"]


def test_only_the_figures_asked_for_are_gathered(client, admin, settings):
    settings.ADMIN_METRICS_SOURCES = {"queues": "config.tests.graphql.test_users.figures", "workers": "nowhere.at_all"}
    query = "{ metrics { ...Q } } fragment Q on AdminMetrics { ... on AdminMetrics { queues } }"
    assert data_of(ask(client, query, headers=bearer(admin))) == {"metrics": {"queues": {"default": 3}}}


def figures():
    return {"default": 3}


@pytest.mark.parametrize("token", ["Bearer x", "Bearer", "Basic eDp5", "Bearer a.b.c"])
def test_a_bad_token_is_401(client, token):
    response = ask(client, "{ __typename }", headers={"Authorization": token})
    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"]["status"] == 401
    assert "WWW-Authenticate" in response


def test_metrics_are_rests(client, admin, settings):
    sources = dict.fromkeys(("queues", "workers"), "config.tests.graphql.test_users.figures")
    settings.ADMIN_METRICS_SOURCES = sources | {"indexer": "config.tests.graphql.test_users.no_figures"}
    headers = bearer(admin)
    found = data_of(ask(client, "{ metrics { queues workers indexer } }", headers=headers))["metrics"]
    assert found == client.get("/admin/metrics", headers=headers).json()


def no_figures():
    raise OSError("redis://:secret@host is away")
