"""`/graphql`: JSON by POST, persisted queries by GET."""

import hashlib
import json
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from graphql import FieldNode, GraphQLError, OperationDefinitionNode, OperationType
from rest_framework.exceptions import APIException

from accounts.services import authenticate_bearer
from apikeys.exceptions import LimiterUnavailable
from apikeys.services import owner_of, take
from config.graphql.documents import Documents, Prepared
from config.graphql.errors import RequestRefused, formatted, problem_errors
from config.graphql.execution import Context, LeanExecution, QueryTimeout, never, watchdog
from config.schema import PUBLIC_ELECTION_FIELDS, schema
from elections.hot_reads import HotReads
from elections.services.publishing import LISTS

CHALLENGE = 'Bearer realm="psephos", Api-Key'
MEMBERS = {"query", "id", "variables", "operationName"}
NO_STORE = {"Cache-Control": "no-store"}
PERSISTED = Path(__file__).parent / "persisted"
documents = Documents(schema.graphql_schema)
# Of its own, so that odd queries never push out the bodies that REST serves.
hot_answers = HotReads(capacity=300)


@cache
def persisted_documents() -> dict[str, str]:
    """Return the queries of our own that may be asked for by id, the SHA-256 of their text."""
    texts = [path.read_text() for path in sorted(PERSISTED.glob("*.graphql"))]
    return {hashlib.sha256(text.encode()).hexdigest(): text for text in texts}


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that passed every check: what to run, what it costs, and under which name its answer is kept."""

    prepared: Prepared
    operation: OperationDefinitionNode
    variables: dict[str, Any]
    cost: int
    is_mutation: bool
    public_name: str | None


class Plans:
    """The plans of the bodies that this process has seen last: clients send the same ones over and over."""

    def __init__(self, capacity: int = 500, max_bytes: int = 8192) -> None:
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.kept: OrderedDict[tuple[bytes, bool], Plan] = OrderedDict()
        self.lock = threading.Lock()

    def of(self, body: bytes) -> Plan:
        """Return the plan of a POST's body; raise RequestRefused."""
        key = (body, settings.GRAPHQL_INTROSPECTION)
        with self.lock:
            found = self.kept.get(key)
            if found is not None:
                self.kept.move_to_end(key)
                return found
        plan = make_plan(read_body(body))
        if len(body) <= self.max_bytes and not plan.is_mutation:
            with self.lock:
                self.kept[key] = plan
                while len(self.kept) > self.capacity:
                    self.kept.popitem(last=False)
        return plan


plans = Plans()


@csrf_exempt
def graphql(request: HttpRequest) -> HttpResponse:
    """Answer a GraphQL request.

    CSRF tokens are not needed: a session's cookie means nothing here, only the Authorization header does, and a form
    cannot send JSON.
    """
    try:
        plan = plan_of(request)
        user, key = authenticate(request)
        charge(request, plan)
        return answer(plan, user=user, key=key)
    except RequestRefused as refusal:
        response = write({"errors": refusal.errors()}, status=refusal.status)
        if refusal.status == 401:
            response["WWW-Authenticate"] = CHALLENGE
        return response
    except APIException as error:
        response = write({"errors": problem_errors(error)}, status=error.status_code)
        if error.status_code == 401:
            response["WWW-Authenticate"] = CHALLENGE
        if wait := getattr(error, "wait", None):
            response["Retry-After"] = str(wait)
        return response


# Each field asks for a scope of its own as well (SCOPES of the apps' schemas).
graphql.api_key_scopes = {"GET": "graphql", "POST": "graphql"}  # type: ignore[attr-defined]


def plan_of(request: HttpRequest) -> Plan:
    """Plan a request; raise RequestRefused, before reading a body that is too large."""
    if request.method == "GET":
        plan = make_plan(read_get(request))
        if plan.is_mutation:
            raise RequestRefused("method_not_allowed", "Mutations are sent by POST.", status=405)
        return plan
    if request.method != "POST":
        raise RequestRefused("method_not_allowed", "Send JSON by POST.", status=405)
    if request.content_type != "application/json":
        raise RequestRefused("unsupported_media_type", "Send application/json.", status=415)
    try:
        length = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        length = 0
    if length > settings.GRAPHQL_MAX_BODY_BYTES:
        detail = f"A request has at most {settings.GRAPHQL_MAX_BODY_BYTES} bytes."
        raise RequestRefused("body_too_large", detail, status=413)
    return plans.of(request.body)


def read_body(body: bytes) -> dict[str, Any]:
    # Also as an escape inside the query: PostgreSQL takes no NUL in a text.
    if b"\\u0000" in body or b"\0" in body:
        raise RequestRefused("null_characters_not_allowed", "The request holds a null character.")
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RequestRefused("malformed_json", "The body is not JSON.") from None
    if isinstance(asked, list):
        raise RequestRefused("batching_refused", "Send one operation a request.")
    if not isinstance(asked, dict):
        raise RequestRefused("malformed_request", "Send a JSON object with `query`.")
    return check_members(asked)


def read_get(request: HttpRequest) -> dict[str, Any]:
    given = request.GET
    if any(len(given.getlist(name)) > 1 for name in given):
        raise RequestRefused("malformed_request", "Give each parameter once.")
    asked: dict[str, Any] = given.dict()
    if "query" in asked or "id" not in asked:
        raise RequestRefused("persisted_only", "By GET only persisted queries are answered: give `id`.", status=405)
    if "variables" in asked:
        try:
            asked["variables"] = orjson.loads(asked["variables"])
        except orjson.JSONDecodeError:
            raise RequestRefused("malformed_json", "`variables` is not JSON.") from None
        if "\0" in json.dumps(asked["variables"], ensure_ascii=False):
            raise RequestRefused("null_characters_not_allowed", "The request holds a null character.")
    return check_members(asked)


def check_members(asked: dict[str, Any]) -> dict[str, Any]:
    unknown = set(asked) - MEMBERS
    if unknown:
        raise RequestRefused("unknown_member", f"Unknown member {sorted(unknown)[0][:50]!r}.")
    if ("query" in asked) == ("id" in asked):
        raise RequestRefused("malformed_request", "Give either `query` or the `id` of a persisted one.")
    for name in ("query", "id", "operationName"):
        if not isinstance(asked.get(name), str | None) or (name != "operationName" and asked.get(name, "") is None):
            raise RequestRefused("malformed_request", f"`{name}` must be a string.")
    if not isinstance(asked.get("variables"), dict | None):
        raise RequestRefused("malformed_request", "`variables` must be an object.")
    return asked


def authenticate(request: HttpRequest) -> tuple[Any, Any]:
    """Return who asks: an API key's owner, an access token's user, or nobody."""
    admission = request.admission  # type: ignore[attr-defined]
    if admission.key is not None:
        return owner_of(admission.key), admission.key
    authorization = request.META.get("HTTP_AUTHORIZATION", "")
    if not authorization:
        return AnonymousUser(), None
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise RequestRefused("unsupported_scheme", "Authenticate by Bearer or Api-Key.", status=401)
    return authenticate_bearer(token.strip()), None


def make_plan(asked: dict[str, Any]) -> Plan:
    """Check a request against the limits and the schema; raise RequestRefused."""
    text = asked.get("query")
    if text is None:
        text = persisted_documents().get(asked["id"].removeprefix("sha256:"))
        if text is None:
            raise RequestRefused("persisted_query_unknown", "There is no persisted query with this id.", status=404)
    variables: dict[str, Any] = asked.get("variables") or {}
    prepared = documents.prepare(text)
    operation = prepared.operation(asked.get("operationName"))
    declared = {one.variable.name.value for one in operation.variable_definitions}
    if unknown := set(variables) - declared:
        raise RequestRefused("unknown_variable", f"The operation declares no variable ${min(unknown)[:50]}.")
    cost = documents.cost(prepared, operation, variables)
    if cost > settings.GRAPHQL_MAX_COST:
        raise RequestRefused("too_costly", f"The operation costs {cost} points, at most {settings.GRAPHQL_MAX_COST}.")
    is_mutation = operation.operation == OperationType.MUTATION
    public_name = None
    if not is_mutation and is_public(operation):
        name = f"{text}\0{asked.get('operationName')}\0{json.dumps(variables, sort_keys=True)}"
        public_name = f"graphql:{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"
    return Plan(prepared, operation, variables, cost, is_mutation, public_name)


def charge(request: HttpRequest, plan: Plan) -> None:
    """Take the tokens that an operation costs beyond the one that every request has paid."""
    admission = request.admission  # type: ignore[attr-defined]
    if admission.decision is None:
        return
    if plan.is_mutation and not admission.decision.is_shared:
        raise LimiterUnavailable
    tokens = -(-plan.cost // settings.GRAPHQL_COST_PER_TOKEN) - 1
    if tokens > 0:
        admission.decision = take(
            identity=admission.identity, cost=tokens, route_class="graphql", limit=admission.decision.limit
        )
        admission.decision.raise_refusal()


def answer(plan: Plan, *, user: Any, key: Any) -> HttpResponse:
    if key is None and plan.public_name is not None:
        try:
            body = hot_answers.get(plan.public_name, topic=LISTS, build=lambda: build_hot(plan), is_shared=False)
        except Failed as failed:
            return write(failed.body, status=failed.status)
        return HttpResponse(body.plain, content_type="application/json", headers=NO_STORE)
    status, result = execute(plan, user=user, key=key)
    return write(result, status=status)


def is_public(operation: OperationDefinitionNode) -> bool:
    selections = operation.selection_set.selections
    return all(isinstance(one, FieldNode) and one.name.value in PUBLIC_ELECTION_FIELDS for one in selections)


class Failed(Exception):
    """An answer with errors, which is not kept."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__()
        self.status = status
        self.body = body


def build_hot(plan: Plan) -> bytes:
    status, body = execute(plan, user=AnonymousUser(), key=None)
    if "errors" in body:
        raise Failed(status, body)
    return as_bytes(body)


def execute(plan: Plan, *, user: Any, key: Any) -> tuple[int, dict[str, Any]]:
    """Execute an operation and return the status and the answer."""
    context = Context(user=user, key=key, auth=key, deadline=time.monotonic() + settings.GRAPHQL_TIMEOUT_SECONDS)
    built = LeanExecution.build(
        schema.graphql_schema,
        plan.prepared.document,
        context_value=context,
        raw_variable_values=plan.variables,
        operation_name=plan.operation.name.value if plan.operation.name else None,
        max_coercion_errors=10,
        is_awaitable=never,
        hide_suggestions=not settings.GRAPHQL_INTROSPECTION,
    )
    if isinstance(built, list):
        raise RequestRefused("invalid_variables", "The variables do not fit.", graphql_errors=built)
    try:
        with watchdog.watching(context.deadline):
            data = built.execute_operation(built.operation, None)
    except QueryTimeout as error:
        return error.status_code, {"errors": problem_errors(error), "data": None}
    except GraphQLError as error:
        built.collected_errors.add(error, None)
        data = None
    result = built.build_response(data, built.collected_errors.errors)  # type: ignore[arg-type]
    if not result.errors:
        return 200, {"data": result.data}
    if time.monotonic() > context.deadline:
        return 503, {"errors": problem_errors(QueryTimeout()), "data": None}
    return 200, {"errors": [formatted(error) for error in result.errors], "data": result.data}


def as_bytes(value: Any) -> bytes:
    # Not orjson: a uint256 is more than it can write.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "replace")


def write(value: dict[str, Any], *, status: int) -> HttpResponse:
    response = HttpResponse(as_bytes(value), status=status, content_type="application/json", headers=NO_STORE)
    if status == 405:
        response["Allow"] = "GET, POST"
    return response
