"""Jobs over GraphQL are REST's."""

import pytest
from django.utils import timezone

from accounts.tests.factories import UserFactory, bearer
from config.tests.graphql import ask, codes_of, data_of, lower_enums, snake
from jobs.models import Job
from jobs.tests.factories import job_type

pytestmark = pytest.mark.django_db


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


def test_the_kinds_of_job_are_rests(client, admin):
    query = """{ jobTypes { name description queue inputSchema isSecret maxAttempts softTimeLimitSeconds memoryLimitMb
      maxInputBytes } }"""
    for headers in (bearer(admin), bearer(UserFactory())):
        found = data_of(ask(client, query, headers=headers))["jobTypes"]
        # The schema of an input is a value of its own: its members are not renamed.
        shown = [snake(one | {"inputSchema": None}) | {"input_schema": one["inputSchema"]} for one in found]
        assert shown == client.get("/jobs/types", headers=headers).json()
    assert codes_of(ask(client, query)) == [("not_authenticated", 401)]


def test_an_input_is_what_was_written(client):
    from accounts.permissions import IsSignedIn

    query = """mutation ($x: Int, $y: JSON) { startJob(type: "tests.noop", input: {
      a: $x, b: [3000000000, -1.5, true, null, "s", {c: $y}], d: $z }) { job { id } } }"""
    headers = bearer(UserFactory())
    with job_type(permission=IsSignedIn):
        given = {"x": 7, "y": {"deep": [1]}}
        job = data_of(ask(client, query.replace(", d: $z", ""), given, headers=headers))["startJob"]["job"]
        found = Job.objects.get(pk=job["id"]).input
        assert found == {"a": 7, "b": [3000000000, -1.5, True, None, "s", {"c": {"deep": [1]}}]}
        for wrong in ("{a: FOO}", "{a: $z}", "{a: 1e999}", f"{{a: {'9' * 100}}}"):
            query = f'mutation {{ startJob(type: "tests.noop", input: {wrong}) {{ job {{ id }} }} }}'
            assert codes_of(ask(client, query, headers=headers)) == [("validation_failed", 400)], wrong
    assert Job.objects.count() == 1
