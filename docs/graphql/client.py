"""Lists the open elections: `python docs/graphql/client.py http://localhost:8000`. Needs Python alone."""

import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from schema_types import Election, ElectionConnection

QUERY = """query Open($after: String) {
  elections(status: OPEN, first: 100, after: $after) {
    edges { node { id title turnout tally { label votes } } }
    pageInfo { hasNextPage endCursor }
  }
}"""


class Refused(Exception):
    """The answer had errors; each has a `code` that stays and a `status` in its extensions."""


def ask(url: str, query: str, variables: dict[str, Any]) -> dict[str, Any]:
    body = json.dumps({"query": query, "variables": variables}).encode()
    try:
        with urlopen(Request(f"{url}/graphql", body, {"Content-Type": "application/json"}), timeout=10) as response:
            answer = json.load(response)
    except HTTPError as error:  # not executed at all: the limits, the rate limit, a bad token
        answer = json.load(error)
    if "errors" in answer:
        raise Refused([(error["extensions"]["code"], error["message"]) for error in answer["errors"]])
    data: dict[str, Any] = answer["data"]
    return data


def open_elections(url: str) -> Iterator[Election]:
    after = None
    while True:
        page: ElectionConnection = ask(url, QUERY, {"after": after})["elections"]
        for edge in page["edges"]:
            yield edge["node"]
        if not page["pageInfo"]["hasNextPage"]:
            return
        after = page["pageInfo"].get("endCursor")


if __name__ == "__main__":
    for election in open_elections(sys.argv[1]):
        print(election["id"], election["turnout"], election.get("title"), sep="\t")
