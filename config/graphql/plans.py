"""Plans requests: what a request asks for is read, checked and costed before anything of it runs."""

import hashlib
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import orjson
from django.conf import settings
from django.http import QueryDict
from graphql import FieldNode, OperationDefinitionNode, OperationType

from config.graphql.documents import Documents, Prepared
from config.graphql.errors import RequestRefused
from config.parsers import MAX_DEPTH, is_deep
from config.schema import PUBLIC_ELECTION_FIELDS, schema

MEMBERS = {"query", "id", "variables", "operationName"}
PERSISTED = Path(__file__).parent / "persisted"
documents = Documents(schema.graphql_schema)


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
    """The plans of the requests that this process has seen last: clients send the same ones over and over.

    They are kept by all that the checks look at: the exact bytes of a POST's body or of a GET's query string.
    """

    def __init__(self, capacity: int = 500, max_bytes: int = 8192) -> None:
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.kept: OrderedDict[tuple[bytes | str, bool], Plan] = OrderedDict()
        self.lock = threading.Lock()

    def find(self, raw: bytes | str) -> Plan | None:
        """Return the plan of a body (bytes) or of a query string (text), where it is kept."""
        key = (raw, settings.GRAPHQL_INTROSPECTION)
        with self.lock:
            found = self.kept.get(key)
            if found is not None:
                self.kept.move_to_end(key)
            return found

    def of(self, raw: bytes | str) -> Plan:
        """Return the plan of a body (bytes) or of a query string (text); raise RequestRefused."""
        found = self.find(raw)
        if found is not None:
            return found
        plan = make_plan(read_body(raw) if isinstance(raw, bytes) else read_query_string(raw))
        if len(raw) <= self.max_bytes and not plan.is_mutation:
            with self.lock:
                self.kept[raw, settings.GRAPHQL_INTROSPECTION] = plan
                while len(self.kept) > self.capacity:
                    self.kept.popitem(last=False)
        return plan


plans = Plans()


def read_body(body: bytes) -> dict[str, Any]:
    # Also as an escape inside the query: PostgreSQL takes no NUL in a text.
    if b"\\u0000" in body or b"\0" in body:
        raise RequestRefused("null_characters_not_allowed", "The request holds a null character.")
    if is_deep(body.decode(errors="replace")):
        raise RequestRefused("malformed_json", f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    try:
        asked = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RequestRefused("malformed_json", "The body is not JSON.") from None
    if isinstance(asked, list):
        raise RequestRefused("batching_refused", "Send one operation a request.")
    if not isinstance(asked, dict):
        raise RequestRefused("malformed_request", "Send a JSON object with `query`.")
    return check_members(asked)


def read_query_string(text: str) -> dict[str, Any]:
    given = QueryDict(text.encode("latin-1"))
    if any(len(given.getlist(name)) > 1 for name in given):
        raise RequestRefused("malformed_request", "Give each parameter once.")
    asked: dict[str, Any] = given.dict()
    if "query" in asked or "id" not in asked:
        raise RequestRefused("persisted_only", "By GET only persisted queries are answered: give `id`.", status=405)
    if "variables" in asked:
        if is_deep(asked["variables"]):
            raise RequestRefused("malformed_json", f"The JSON is nested deeper than {MAX_DEPTH} levels.")
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


def is_public(operation: OperationDefinitionNode) -> bool:
    selections = operation.selection_set.selections
    return all(isinstance(one, FieldNode) and one.name.value in PUBLIC_ELECTION_FIELDS for one in selections)
