"""`/graphql`: JSON by POST, persisted queries by GET."""

import json
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from graphql import GraphQLError
from rest_framework.exceptions import APIException

from accounts.services import authenticate_bearer
from apikeys.exceptions import LimiterUnavailable
from apikeys.services import owner_of, take
from config.graphql.errors import RequestRefused, formatted, problem_errors
from config.graphql.execution import Context, LeanExecution, QueryTimeout, never, watchdog
from config.graphql.plans import Plan, plans
from config.schema import schema
from elections.hot_reads import Body, HotReads, choose_encoding
from elections.services.publishing import LISTS

CHALLENGE = 'Bearer realm="psephos", Api-Key'
NO_STORE = {"Cache-Control": "no-store"}
# Of its own, so that odd queries never push out the bodies that REST serves.
hot_answers = HotReads(capacity=300)


@csrf_exempt
def graphql(request: HttpRequest) -> HttpResponse:
    """Answer a GraphQL request.

    CSRF tokens are not needed: a session's cookie means nothing here, only the Authorization header does, and a form
    cannot send JSON.
    """

    def respond() -> HttpResponse:
        plan = plan_of(request)
        user, key = authenticate(request)
        charge(request, plan)
        if key is None and plan.public_name is not None:
            return answer_kept(request, plan)
        status, result = execute(plan, user=user, key=key)
        return write(result, status=status)

    return or_refusal(respond)


# Each field asks for a scope of its own as well (SCOPES of the apps' schemas).
graphql.api_key_scopes = {"GET": "graphql", "POST": "graphql"}  # type: ignore[attr-defined]


def answer_hot(request: HttpRequest) -> HttpResponse | None:
    """Answer an anonymous request whose very bytes have passed every check, and that public figures answer.

    None for all else, which goes to the view: there is nothing for it left to check here but the rate limit.
    """
    meta = request.META
    if "HTTP_AUTHORIZATION" in meta:
        return None
    raw: bytes | str
    if request.method == "GET":
        raw = meta.get("QUERY_STRING", "")
    elif is_plain_post(request) and 0 < length_of(request) <= plans.max_bytes:
        raw = request.body
    else:
        return None
    plan = plans.find(raw)
    if plan is None or plan.public_name is None:
        return None

    def respond() -> HttpResponse:
        charge(request, plan)
        return answer_kept(request, plan)

    return or_refusal(respond)


def or_refusal(respond: Callable[[], HttpResponse]) -> HttpResponse:
    """Respond, or write why not."""
    try:
        return respond()
    except RequestRefused as refusal:
        response = write({"errors": refusal.errors()}, status=refusal.status)
    except APIException as error:
        response = write({"errors": problem_errors(error)}, status=error.status_code)
        if wait := getattr(error, "wait", None):
            response["Retry-After"] = str(wait)
    if response.status_code == 401:
        response["WWW-Authenticate"] = CHALLENGE
    return response


def plan_of(request: HttpRequest) -> Plan:
    """Plan a request; raise RequestRefused, before reading a body that is too large."""
    if request.method == "GET":
        plan = plans.of(request.META.get("QUERY_STRING", ""))
        if plan.is_mutation:
            raise RequestRefused("method_not_allowed", "Mutations are sent by POST.", status=405)
        return plan
    if request.method != "POST":
        raise RequestRefused("method_not_allowed", "Send JSON by POST.", status=405)
    if request.META.get("QUERY_STRING"):
        raise RequestRefused("malformed_request", "By POST everything is in the body.")
    if not is_json(request):
        raise RequestRefused("unsupported_media_type", "Send application/json in UTF-8, not compressed.", status=415)
    if length_of(request) > settings.GRAPHQL_MAX_BODY_BYTES:
        detail = f"A request has at most {settings.GRAPHQL_MAX_BODY_BYTES} bytes."
        raise RequestRefused("body_too_large", detail, status=413)
    return plans.of(request.body)


def is_plain_post(request: HttpRequest) -> bool:
    return request.method == "POST" and not request.META.get("QUERY_STRING") and is_json(request)


def is_json(request: HttpRequest) -> bool:
    if request.content_type != "application/json" or "HTTP_CONTENT_ENCODING" in request.META:
        return False
    charset = (request.content_params or {}).get("charset", "utf-8")
    return charset.lower() in {"utf-8", "utf8"}


def length_of(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


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


def answer_kept(request: HttpRequest, plan: Plan) -> HttpResponse:
    """Answer with what is kept for everybody, as long as no election has changed."""
    assert plan.public_name is not None
    try:
        body = hot_answers.get(plan.public_name, topic=LISTS, build=lambda: build_hot(plan), is_shared=False)
    except Failed as failed:
        return write(failed.body, status=failed.status)
    return write_kept(body, choose_encoding(request.META.get("HTTP_ACCEPT_ENCODING", "")))


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


def write_kept(body: Body, encoding: str) -> HttpResponse:
    content = body.encoded(encoding)
    response = HttpResponse(content, content_type="application/json")
    response.headers["Content-Length"] = str(len(content))
    response.headers["Cache-Control"] = "no-store"
    response.headers["Vary"] = "Accept-Encoding"
    if encoding:
        response.headers["Content-Encoding"] = encoding
    return response


def write(value: dict[str, Any], *, status: int) -> HttpResponse:
    response = HttpResponse(as_bytes(value), status=status, content_type="application/json", headers=NO_STORE)
    if status == 405:
        response["Allow"] = "GET, POST"
    return response
