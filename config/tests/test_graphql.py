"""GraphQL gives what REST gives, by the same permissions."""

import hashlib
import json
import re
import uuid
from pathlib import Path

import pytest
from django.utils import timezone
from graphql import GraphQLObjectType, is_enum_type, is_input_object_type

from accounts.models import User
from accounts.tests.factories import UserFactory, bearer
from apikeys.tests.factories import api_key, make_key
from audit.models import Entry
from audit.services import record, sequence_all
from config.graphql import write_types
from config.graphql.plans import persisted_documents
from config.graphql.views import hot_answers
from config.schema import PERMISSIONS, SCOPES, guard_root_fields, schema
from config.tests.graphql import ask, codes_of, data_of, snake
from elections.hot_reads import hot_reads
from elections.metadata import hash_document
from elections.models import Metadata
from elections.services import apply_events
from elections.tests import factories as chain
from jobs.models import Job
from jobs.tests.factories import job_type

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _cold():
    hot_answers.clear()
    hot_reads.clear()


@pytest.fixture
def admin():
    return UserFactory(role="admin")


@pytest.fixture
def hundred_elections():
    chain.head_at(60)
    events = []
    for number in range(1, 121):
        document = {"title": f"Election {number}", "description": "x", "options": ["a", "b", "c"]}
        metadata_hash = hash_document(document)
        Metadata.objects.create(hash=metadata_hash, document=document)
        events.append(chain.created(number, metadata_hash=metadata_hash, log_index=number))
    events += [chain.vote(number, number % 3, log_index=number) for number in range(1, 121)]
    apply_events(events=events)


def lower_enums(value):
    """Write enum values as REST does."""
    if isinstance(value, dict):
        return {
            name: inner.lower() if name in {"status", "finality", "role"} else lower_enums(inner)
            for name, inner in value.items()
        }
    return [lower_enums(inner) for inner in value] if isinstance(value, list) else value


def persisted(name):
    return next(text for text in persisted_documents().values() if text.startswith(f"query {name}("))


# Elections


def test_the_list_is_rests(client, hundred_elections):
    found = data_of(ask(client, persisted("Elections"), {"first": 50}))["elections"]
    nodes = lower_enums(snake([edge["node"] for edge in found["edges"]]))
    assert nodes == client.get("/elections?limit=50").json()["results"]


def test_one_election_is_rests(client, hundred_elections):
    public_id = client.get("/elections").json()["results"][0]["id"]
    found = lower_enums(snake(data_of(ask(client, persisted("Election"), {"id": public_id}))["election"]))
    expected = client.get(f"/elections/{public_id}").json()
    found["facts"] = {kind: fact for kind, fact in found["facts"].items() if fact is not None}
    assert found == {name: expected[name] for name in found}
    query = (
        "query ($id: ID!) { tally(id: $id) { isPublished total options { votes } } turnout(id: $id) { votes isFinal } }"
    )
    figures = data_of(ask(client, query, {"id": public_id}))
    assert figures["tally"]["total"] == figures["turnout"]["votes"] == expected["turnout"] == 1
    assert figures["turnout"]["isFinal"] is False


def test_pages_lead_forwards_and_back(client, hundred_elections):
    query = """query ($after: String, $before: String, $first: Int, $last: Int, $ordering: ElectionOrdering) {
      elections(after: $after, before: $before, first: $first, last: $last, ordering: $ordering) {
        edges { node { id } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
    seen, after = [], None
    while True:
        page = data_of(ask(client, query, {"first": 50, "after": after, "ordering": "OLDEST"}))["elections"]
        seen += [edge["node"]["id"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(seen) == len(set(seen)) == 120
    back = data_of(ask(client, query, {"last": 20, "before": page["pageInfo"]["startCursor"], "ordering": "OLDEST"}))
    assert [edge["node"]["id"] for edge in back["elections"]["edges"]] == seen[80:100]
    assert back["elections"]["pageInfo"]["hasPreviousPage"] is True


@pytest.mark.parametrize(
    "arguments",
    ["first: 0", "first: 101", 'after: "x"', 'first: 1, last: 1, before: "x"', "last: 3", 'after: "a", before: "b"'],
)
def test_bad_pages_are_named_as_in_rest(client, arguments):
    [error] = ask(client, f"{{ elections({arguments}) {{ edges {{ cursor }} }} }}").json()["errors"]
    assert error["extensions"]["code"] == "invalid"
    assert error["extensions"]["errors"]


def test_filters_and_nulls(client, hundred_elections):
    query = "query ($s: ElectionStatus) { elections(status: $s, first: null) { edges { node { status } } } }"
    assert len(data_of(ask(client, query, {"s": "OPEN"}))["elections"]["edges"]) == 50
    assert data_of(ask(client, query, {"s": "CANCELLED"}))["elections"]["edges"] == []


@pytest.mark.parametrize("first", [10, 100])
def test_a_lists_queries_do_not_grow_with_it(client, hundred_elections, django_assert_num_queries, first):
    query = """query ($first: Int) { elections(first: $first) { edges { node {
      title metadata { title } tally { label votes } facts { created { blockHash } } start { time } } } } }"""
    with django_assert_num_queries(3):  # the page, its metadata, the heads
        data_of(ask(client, query, {"first": first}))


def test_an_unknown_election_has_rests_code(client):
    query = "query ($id: ID!) { election(id: $id) { id } }"
    for public_id in ("31337-5fbdb231-9", "nonsense"):
        rest = client.get(f"/elections/{public_id}")
        assert codes_of(ask(client, query, {"id": public_id})) == [(rest.json()["code"], rest.status_code)]


def test_a_public_answer_is_kept_until_an_election_changes(client, django_assert_num_queries):
    from elections.services import publish_changes

    chain.election(1)
    query = "{ elections { edges { node { id turnout } } } }"
    first = data_of(ask(client, query))
    with django_assert_num_queries(0):
        assert data_of(ask(client, query)) == first
    from elections import services

    changes = services.apply_events(events=[chain.vote(1)])
    publish_changes(changes)
    assert data_of(ask(client, query))["elections"]["edges"][0]["node"]["turnout"] == 1


NEW = {
    "metadata": {"title": "T", "description": "D", "options": ["a", "b"]},
    "startBlock": 100,
    "endBlock": 200,
}
CREATE = """mutation ($input: NewElection!, $key: String) {
  createElection(input: $input, idempotencyKey: $key) { metadataHash job { jobId status } } }"""


def test_an_election_is_asked_for_as_by_rest(client, admin):
    chain.head_at(1)
    made = data_of(ask(client, CREATE, {"input": NEW, "key": "k1"}, headers=bearer(admin)))["createElection"]
    job = Job.objects.get(pk=made["job"]["jobId"])
    assert job.type == "chain.create_election"
    body = {"metadata": NEW["metadata"], "start_block": 100, "end_block": 200}
    rest = client.post("/elections", body, "application/json", headers=bearer(admin) | {"Idempotency-Key": "k1"})
    assert rest.json()["job_id"] == made["job"]["jobId"]
    assert rest.json()["metadata_hash"] == made["metadataHash"]


def test_bad_input_names_the_member_as_rest_does(client, admin):
    chain.head_at(1)
    wrong = NEW | {"endBlock": 50}
    [error] = ask(client, CREATE, {"input": wrong}, headers=bearer(admin)).json()["errors"]
    body = {"metadata": NEW["metadata"], "start_block": 100, "end_block": 50}
    rest = client.post("/elections", body, "application/json", headers=bearer(admin)).json()
    assert error["extensions"]["code"] == rest["code"]
    assert error["extensions"]["errors"] == rest["errors"]
    assert not Job.objects.exists()


def test_elections_are_cancelled_and_finalised(client, admin):
    chain.election(1, end_block=20, head=30)
    public_id = "31337-5fbdb231-1"
    headers = bearer(admin)
    query = (
        "mutation ($id: ID!) { finaliseElection(id: $id) { job { jobId } } cancelElection(id: $id) { job { jobId } } }"
    )
    done = data_of(ask(client, query, {"id": public_id}, headers=headers))
    types = [Job.objects.get(pk=done[name]["job"]["jobId"]).type for name in done]
    assert types == ["chain.finalise_election", "chain.cancel_election"]
    chain.head_at(31)
    chain.election(2, start_block=40, end_block=50)
    query = 'mutation { finaliseElection(id: "31337-5fbdb231-2") { job { jobId } } }'
    assert codes_of(ask(client, query, headers=headers)) == [("election_not_closed", 409)]


def test_metadata_is_brought(client):
    document = {"title": "T", "description": "D", "options": ["a", "b", "c"]}
    metadata_hash = hash_document(document)
    chain.election(1, metadata_hash=metadata_hash)
    query = (
        "mutation ($h: String!, $d: NewElectionMetadata!) { bringElectionMetadata(hash: $h, document: $d) { hash } }"
    )
    headers = bearer(UserFactory())
    name = f"0x{metadata_hash.hex()}"
    assert codes_of(ask(client, query, {"h": name, "d": document})) == [("not_authenticated", 401)]
    assert codes_of(ask(client, query, {"h": "0x12", "d": document}, headers=headers)) == [("invalid", 400)]
    assert data_of(ask(client, query, {"h": name, "d": document}, headers=headers))
    assert Metadata.objects.count() == 1


# Users and figures


USERS = "query ($role: Role) { users(role: $role) { count results { id email role isActive lastSignIn createdAt } } }"


def test_users_are_rests(client, admin, django_assert_num_queries):
    UserFactory.create_batch(100, role="viewer")
    headers = bearer(admin)
    found = lower_enums(snake(data_of(ask(client, USERS, {"role": "VIEWER"}, headers=headers))["users"]))
    assert found == client.get("/admin/users?role=viewer", headers=headers).json()
    with django_assert_num_queries(3):  # the caller, the number, the page
        data_of(ask(client, USERS, headers=headers))
    one = f'{{ user(id: "{admin.pk}") {{ email }} me {{ email }} }}'
    assert data_of(ask(client, one, headers=headers)) == {"user": {"email": admin.email}, "me": {"email": admin.email}}
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
    settings.ADMIN_METRICS_SOURCES = {"queues": "config.tests.test_graphql.figures", "workers": "nowhere.at_all"}
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


# Jobs


JOBS = """query ($first: Int, $after: String, $status: JobStatus) {
  jobs(first: $first, after: $after, status: $status) {
  edges { node { id type status progress { done total message } problem { code detail } isParked isCancelRequested
    attempts maxAttempts createdAt startedAt finishedAt result isResultExpired } }
  pageInfo { hasNextPage endCursor } } }"""


def make_job(owner, **values):
    defaults = {"type": "tests.noop", "input": {}, "input_digest": "0" * 64, "queue": "default"}
    return Job.objects.create(owner=owner, **(defaults | values))


def test_jobs_are_rests(client, django_assert_num_queries):
    owner, other = UserFactory(), UserFactory()
    for number in range(100):
        problem = {"code": "broken", "detail": "x"} if number == 3 else None
        status = "failed" if problem else "succeeded" if number == 95 else "queued"
        make_job(owner, status=status, problem=problem, finished_at=None if status == "queued" else timezone.now())
    foreign = make_job(other)
    headers = bearer(owner)
    with django_assert_num_queries(3):  # the caller, the page, the results
        page = data_of(ask(client, JOBS, {"first": 60}, headers=headers))["jobs"]
    rest = client.get("/jobs?page_size=60", headers=headers).json()["results"]
    nodes = lower_enums(snake([edge["node"] for edge in page["edges"]]))
    assert [{name: node[name] for name in rest[0]} for node in nodes] == rest
    more = data_of(ask(client, JOBS, {"first": 60, "after": page["pageInfo"]["endCursor"]}, headers=headers))["jobs"]
    assert len(more["edges"]) == 40
    assert more["pageInfo"]["hasNextPage"] is False
    failed = data_of(ask(client, JOBS, {"status": "FAILED"}, headers=headers))["jobs"]["edges"]
    assert [edge["node"]["problem"] for edge in failed] == [{"code": "broken", "detail": "x"}]
    query = "query ($id: ID!) { job(id: $id) { id status result isResultExpired } }"
    for hidden in (str(foreign.pk), "x"):
        assert codes_of(ask(client, query, {"id": hidden}, headers=headers)) == [("job_not_found", 404)]
    mine = rest[0]["id"]
    found = lower_enums(snake(data_of(ask(client, query, {"id": mine}, headers=headers))["job"]))
    expected = client.get(f"/jobs/{mine}", headers=headers).json()
    assert found == {name: expected[name] for name in found}


@pytest.mark.parametrize("arguments", ['after: "x"', "first: 0", "first: 101", 'after: "MjAyNi0wMS0wMQ=="'])
def test_bad_pages_of_jobs_are_named(client, arguments):
    query = f"{{ jobs({arguments}) {{ edges {{ cursor }} }} }}"
    assert codes_of(ask(client, query, headers=bearer(UserFactory()))) == [("invalid", 400)]


def test_jobs_are_started_and_cancelled(client, admin):
    from accounts.permissions import IsAdmin

    start = "mutation ($type: String!) { startJob(type: $type, input: {a: [1, 2]}) { job { id status } } }"
    with job_type(permission=IsAdmin), job_type("tests.internal"):
        headers = bearer(admin)
        job = data_of(ask(client, start, {"type": "tests.noop"}, headers=headers))["startJob"]["job"]
        assert Job.objects.get(pk=job["id"]).input == {"a": [1, 2]}
        for hidden in ("tests.internal", "tests.unknown"):
            assert codes_of(ask(client, start, {"type": hidden}, headers=headers)) == [("unknown_job_type", 404)]
        citizen = bearer(UserFactory())
        assert codes_of(ask(client, start, {"type": "tests.noop"}, headers=citizen)) == [("permission_denied", 403)]
        assert codes_of(ask(client, start, {"type": "tests.noop"})) == [("not_authenticated", 401)]
        cancel = f'mutation {{ cancelJob(id: "{job["id"]}") {{ job {{ status isCancelRequested }} }} }}'
        assert codes_of(ask(client, cancel, headers=citizen)) == [("job_not_found", 404)]
        done = data_of(ask(client, cancel, headers=headers))["cancelJob"]["job"]
        assert done == {"status": "CANCELLED", "isCancelRequested": True}
        assert codes_of(ask(client, cancel, headers=headers)) == [("job_already_finished", 409)]
    assert Job.objects.count() == 1


# Audit


ENTRIES = """query ($action: String, $before: ID, $limit: Int) {
  auditEntries(action: $action, before: $before, limit: $limit) {
    next results { id seq createdAt action actor target data requestId entryHash } } }"""


def test_audit_entries_are_rests(client, admin, django_assert_num_queries):
    for number in range(100):
        record(action="tests.thing.done", target=f"thing:{number}", data={"number": number})
    headers = bearer(admin)
    with django_assert_num_queries(2):  # the caller, the page
        page = data_of(ask(client, ENTRIES, {"action": "tests", "limit": 100}, headers=headers))["auditEntries"]
    rest = client.get("/audit/entries?action=tests&limit=100", headers=headers).json()
    assert [snake(entry) for entry in page["results"]] == rest["results"]
    assert page["next"] == rest["next"]
    first = data_of(ask(client, ENTRIES, {"action": "tests", "limit": 60}, headers=headers))["auditEntries"]
    second = data_of(ask(client, ENTRIES, {"action": "tests", "before": first["next"]}, headers=headers))[
        "auditEntries"
    ]
    assert len(second["results"]) == 40
    assert codes_of(ask(client, ENTRIES, {"limit": 501}, headers=headers)) == [("invalid", 400)]
    since = "query ($since: DateTime) { auditEntries(since: $since, seq: null) { results { id } } }"
    for moment in ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00+02:00"):
        assert len(data_of(ask(client, since, {"since": moment}, headers=headers))["auditEntries"]["results"]) == 100
        query = f'{{ auditEntries(until: "{moment}", seq: 3) {{ results {{ id }} }} }}'
        assert data_of(ask(client, query, headers=headers)) == {"auditEntries": {"results": []}}
    for wrong in ("yesterday", "2020-13-01T00:00:00Z", "2020-01-01T00:00:00", 7):
        assert codes_of(ask(client, since, {"since": wrong}, headers=headers)) == [("invalid_variables", 400)]
    seq = "query ($seq: BigInt) { auditEntries(seq: $seq) { results { id } } }"
    for wrong in ("7", 1.5, True):
        assert codes_of(ask(client, seq, {"seq": wrong}, headers=headers)) == [("invalid_variables", 400)]
    viewer = UserFactory(role="viewer")
    rest = client.get("/audit/entries", headers=bearer(viewer))
    assert codes_of(ask(client, ENTRIES, headers=bearer(viewer))) == [(rest.json()["code"], rest.status_code)]


RECEIPT = "query ($id: ID!) { auditReceipt(id: $id) { id proof } }"
CHECKPOINT = "{ auditCheckpoint { treeSize rootHash note createdAt } }"


def test_receipts_and_checkpoints_are_public(client):
    entry = record(action="tests.thing.done")
    for answer, path in (
        (ask(client, RECEIPT, {"id": str(entry.pk)}), f"/audit/proof?id={entry.pk}"),
        (ask(client, CHECKPOINT), "/audit/checkpoint"),
    ):
        rest = client.get(path)
        assert codes_of(answer) == [(rest.json()["code"], rest.status_code)]
    assert codes_of(ask(client, RECEIPT, {"id": "x"})) == [("invalid", 400)]


@pytest.mark.django_db(transaction=True)
def test_proofs_are_rests(client):
    entry = record(action="tests.thing.done")
    sequence_all()
    found = data_of(ask(client, RECEIPT, {"id": str(entry.pk)}))["auditReceipt"]
    assert found["proof"] == client.get(f"/audit/proof?id={entry.pk}").content.decode()
    found = data_of(ask(client, CHECKPOINT))["auditCheckpoint"]
    assert found["note"] == client.get("/audit/checkpoint").content.decode()
    assert found["treeSize"] == 1


# API keys


def test_a_key_reads_what_its_scopes_name(client, admin):
    _, none = make_key(owner=admin, scopes=["elections:read"])
    _, text = make_key(owner=admin, scopes=["graphql", "elections:read"])
    query = "{ elections { edges { cursor } } }"
    assert ask(client, query, headers=api_key(none)).json()["code"] == "api_key_scope_missing"
    assert data_of(ask(client, query, headers=api_key(text)))
    assert codes_of(ask(client, "{ users { count } }", headers=api_key(text))) == [("api_key_scope_missing", 403)]
    assert codes_of(ask(client, "{ me { id } }", headers=api_key(text))) == [("api_key_not_accepted", 403)]


# The schema


def test_every_root_field_names_its_permission_and_every_scope_a_field():
    names = set(PERMISSIONS)
    built = schema.graphql_schema
    from graphene.utils.str_converters import to_snake_case

    fields = {to_snake_case(name) for root in (built.query_type, built.mutation_type) for name in root.fields}
    assert fields == names
    assert set(SCOPES) <= names


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
