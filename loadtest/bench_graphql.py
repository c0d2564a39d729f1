"""Compares GraphQL's 50-election query with the REST list. Run by `make bench-graphql`.

Both answer the same fifty elections with the same members, in one process through the WSGI application, in turns:
kept answers (nothing has changed since the last request) and built ones (an election changed before each request).
"""

import json
import os
import tempfile
import time
from io import BytesIO
from pathlib import Path
from statistics import median

REPORT = Path(__file__).parent / "report"
ELECTIONS, SIZE = 200, 50
ROUNDS = {"built": 150, "kept": 1500}


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
    from config.graphql.views import hot_answers, persisted_documents
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
    body = json.dumps({"query": query, "variables": {"first": SIZE}}).encode()
    requests = {
        "REST": lambda: environ("GET", "/elections", f"limit={SIZE}"),
        "REST, kept": lambda: environ("GET", "/elections"),
        "GraphQL": lambda: environ("POST", "/graphql", body=body),
    }
    rest = json.loads(call(application, requests["REST"]())[0])["results"]
    graphql = json.loads(call(application, requests["GraphQL"]())[0])["data"]["elections"]["edges"]
    assert [row["id"] for row in rest] == [edge["node"]["id"] for edge in graphql]

    times: dict[str, list[float]] = {name: [] for name in ("rest built", "graphql built", "rest kept", "graphql kept")}
    for _ in range(ROUNDS["built"]):
        for name, key in (("REST", "rest built"), ("GraphQL", "graphql built")):
            hot_reads.clear()
            hot_answers.clear()
            invalidate([LISTS])
            times[key].append(call(application, requests[name]())[1])
    for _ in range(ROUNDS["kept"]):
        for name, key in (("REST, kept", "rest kept"), ("GraphQL", "graphql kept")):
            times[key].append(call(application, requests[name]())[1])
    return [
        (state, median(times[f"rest {state}"]) * 1e3, median(times[f"graphql {state}"]) * 1e3)
        for state in ("built", "kept")
    ]


def main() -> None:
    from deploy.local.services import start_postgres, start_redis

    folder = Path(tempfile.mkdtemp(prefix="psephos-bench-"))
    folder.chmod(0o755)
    postgres, redis = start_postgres(folder / "postgres", is_durable=False), start_redis(folder / "redis")
    try:
        postgres.execute("CREATE ROLE psephos_owner LOGIN", "CREATE ROLE psephos_app LOGIN", "CREATE DATABASE psephos")
        os.environ |= {
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
            "DATABASE_URL": postgres.url("psephos"),
            "MIGRATION_DATABASE_URL": postgres.url("psephos"),
            "REDIS_URL": redis.url,
            "RATE_LIMIT": "10000000/60",
        }
        rows = measure()
        from django.db import connections

        connections["default"].close_pool()
    finally:
        redis.stop()
        postgres.stop()
    write_report(rows)


def write_report(rows: list[tuple[str, float, float]]) -> None:
    lines = [
        "# GraphQL against REST (`make bench-graphql`)",
        "",
        f"{SIZE} elections with all that the list shows, one process, no server; medians in milliseconds; goal ≤ 1.5.",
        "Kept REST answers are the default list of 100, the one that REST keeps.",
        "",
        "| answers | REST | GraphQL | ratio |",
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

    figure, axes = pyplot.subplots(figsize=(6, 2.2))
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
