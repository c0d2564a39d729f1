"""Compares GraphQL's 50-election query with the REST list. Run by `make bench-graphql`.

Both answer the same elections with the same members, in one process through the WSGI application, in turns: kept
answers (nothing has changed since the last request) and built ones (an election changed before each request).
"""

import json
import time
from io import BytesIO
from pathlib import Path
from statistics import median

REPORT = Path(__file__).parent / "report"
ELECTIONS = 200
ROUNDS = {"built": 150, "kept": 1500}
# REST keeps its default list, of 100, and builds every other size.
CASES = {
    "50, built": ("built", "limit=50", 50),
    "50, GraphQL's kept": ("kept", "limit=50", 50),
    "100, kept": ("kept", "", 100),
    "50, kept, beside REST's kept 100": ("kept", "", 50),
}
GOAL = 1.5


def environ(method: str, path: str, query: str = "", body: bytes = b"") -> dict:
    return {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(body),
        "wsgi.errors": None,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def call(application, request: dict) -> tuple[bytes, float]:
    statuses: list[str] = []
    started = time.perf_counter()
    response = application(request, lambda status, headers: statuses.append(status))
    body = b"".join(response)
    seconds = time.perf_counter() - started
    response.close()
    assert statuses[0].startswith("200"), (statuses, body[:300])
    return body, seconds


def measure() -> list[tuple[str, float, float]]:
    import django

    django.setup()
    from django.core.handlers.wsgi import WSGIHandler
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from config.graphql.plans import persisted_documents
    from config.graphql.views import hot_answers
    from elections.hot_reads import hot_reads, invalidate
    from elections.metadata import hash_document
    from elections.models import Metadata
    from elections.services.publishing import LISTS
    from elections.tests import factories as chain

    chain.head_at(60)
    for number in range(1, ELECTIONS + 1):
        document = {"title": f"Election {number}", "description": "A vote.", "options": ["Yes", "No", "Abstain"]}
        Metadata.objects.create(hash=hash_document(document), document=document)
        chain.election(number, chain.vote(number, number % 3), metadata_hash=hash_document(document), at=1)
    application = WSGIHandler()
    query = next(text for text in persisted_documents().values() if text.startswith("query Elections("))
    rows = []
    for name, (state, parameters, size) in CASES.items():
        body = json.dumps({"query": query, "variables": {"first": size}}).encode()
        requests = {
            "REST": lambda parameters=parameters: environ("GET", "/elections", parameters),
            "GraphQL": lambda body=body: environ("POST", "/graphql", body=body),
        }
        rest = json.loads(call(application, requests["REST"]())[0])["results"]
        graphql = json.loads(call(application, requests["GraphQL"]())[0])["data"]["elections"]["edges"]
        assert [row["id"] for row in rest][:size] == [edge["node"]["id"] for edge in graphql]
        times: dict[str, list[float]] = {door: [] for door in requests}
        for _ in range(ROUNDS["built" if "limit" in parameters else state]):
            for door, request in requests.items():
                if state == "built":
                    hot_reads.clear()
                    hot_answers.clear()
                    invalidate([LISTS])
                times[door].append(call(application, request())[1])
        rows.append((name, median(times["REST"]) * 1e3, median(times["GraphQL"]) * 1e3))
    return rows


def main() -> None:
    from loadtest.ground import measured_services

    with measured_services(RATE_LIMIT="10000000/60"):
        rows = measure()
        from django.db import connections

        connections["default"].close_pool()
    write_report(rows)


def write_report(rows: list[tuple[str, float, float]]) -> None:
    lines = [
        "# GraphQL against REST (`make bench-graphql`)",
        "",
        f"Elections with all that the list shows, one process, no server; medians in milliseconds; goal ≤ {GOAL}.",
        "REST keeps its default list, of 100, and builds a list of 50 each time; GraphQL keeps both. A query of 100",
        "costs two tokens, hence a second round trip to the limiter.",
        "",
        "| elections | REST | GraphQL | ratio |",
        "|---|---|---|---|",
        *(f"| {state} | {rest:.2f} | {graphql:.2f} | {graphql / rest:.2f} |" for state, rest, graphql in rows),
        "",
    ]
    REPORT.mkdir(exist_ok=True)
    (REPORT / "graphql.md").write_text("\n".join(lines))
    print("\n".join(lines))
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.5, 3))
    for index, (state, rest, graphql) in enumerate(rows):
        axes.barh(f"{state}: REST", rest, color="#94a3b8")
        axes.barh(f"{state}: GraphQL", graphql, color="#2563eb")
        axes.text(graphql, 2 * index + 1, f" {graphql / rest:.2f}×", va="center")
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds at p50 (logarithmic)")
    figure.tight_layout()
    figure.savefig(REPORT / "graphql.png", dpi=80)


if __name__ == "__main__":
    main()
