"""GraphQL's tests, and how they ask `/graphql`."""

import json
import re
from typing import Any

from config.graphql.plans import persisted_documents


def ask(
    client: Any, query: str, variables: dict[str, Any] | None = None, *, headers: Any = None, **members: Any
) -> Any:
    """Send a query and return the response."""
    body = {"query": query} | ({"variables": variables} if variables is not None else {}) | members
    return client.post("/graphql", json.dumps(body), "application/json", headers=headers)


def data_of(response: Any) -> Any:
    """Return the data of an answer that must have no errors."""
    body = response.json()
    assert "errors" not in body, body
    assert response.status_code == 200
    return body["data"]


def codes_of(response: Any) -> list[tuple[str, int]]:
    """Return the code and status of each error."""
    return [(error["extensions"]["code"], error["extensions"]["status"]) for error in response.json()["errors"]]


def snake(value: Any) -> Any:
    """Write an answer's members as REST names them."""
    if isinstance(value, dict):
        return {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower(): snake(inner) for name, inner in value.items()}
    return [snake(inner) for inner in value] if isinstance(value, list) else value


def lower_enums(value: Any) -> Any:
    """Write enum values as REST does."""
    if isinstance(value, dict):
        return {
            name: inner.lower() if name in {"status", "finality", "role"} else lower_enums(inner)
            for name, inner in value.items()
        }
    return [lower_enums(inner) for inner in value] if isinstance(value, list) else value


def persisted(name: str) -> str:
    """Return the text of a persisted query."""
    return next(text for text in persisted_documents().values() if text.startswith(f"query {name}("))
