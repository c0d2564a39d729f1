"""Measures the census: a tree over 100,000 members in the database, and proofs from it. Run by `make bench-census`.

A proof goes through the whole WSGI application; beside it stands `GET /healthz` in the same process, what any answer
costs here. Hashing alone, without the database, is measured in the same run.
"""

import io
import os
import random
import sys
import time
from pathlib import Path
from statistics import median, quantiles

REPORT = Path(__file__).parent / "report"
MEMBERS = 100_000
PROOFS = 400
# The 78 digits of a uint256 are more than a field element has.
FIELD = 21888242871839275222246405745257275088548364400416034343698204186575808495617


def timed(work) -> tuple[float, float]:
    """Return seconds by the clock, and of our own processor time."""
    used, started = time.process_time(), time.perf_counter()
    work()
    return time.perf_counter() - started, time.process_time() - used


def get(application, path: str, query: str = "") -> bytes:
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    status = []
    response = application(environ, lambda line, headers, exc=None: status.append(int(line.split()[0])))
    body = b"".join(response)
    response.close()
    assert status == [200], (status, body)
    return body


def measure(members: int) -> dict[str, tuple[float, ...]]:
    import json

    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.db import connection

    call_command("migrate", verbosity=0)
    from elections.models import Census, CensusMember
    from elections.services import rebuild_census
    from elections.tests import factories
    from zk.services import LeanIMT, MerkleProof, verify_merkle_proof

    dice = random.Random(1)
    leaves = [dice.randrange(1, FIELD) for _ in range(members)]
    election = factories.election(verifier="0x" + "ab" * 20, start_block=5000, end_block=9000)
    census = Census.objects.create(election=election)
    table = CensusMember._meta.db_table
    with (
        connection.cursor() as cursor,
        cursor.copy(f'COPY {table} (census_id, "index", commitment, subject_digest, registered_at) FROM STDIN') as copy,
    ):
        for index, leaf in enumerate(leaves):
            copy.write_row((census.pk, index, leaf, f"{index:064x}", "2026-01-01T00:00:00Z"))
    found: dict[str, tuple[float, ...]] = {"hashing alone": timed(lambda: LeanIMT(leaves))}
    found["tree in the database"] = timed(lambda: rebuild_census(election=election))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")

    application = get_wsgi_application()
    address = f"/elections/{election.public_id}/census/proof"
    times: dict[str, list[tuple[float, float]]] = {"proof": [], "healthz": []}
    for number in range(PROOFS + 20):
        leaf = dice.choice(leaves)
        answers = []
        took = timed(lambda leaf=leaf, to=answers: to.append(get(application, address, f"commitment={leaf}")))
        bare = timed(lambda: get(application, "/healthz"))
        if number >= 20:
            times["proof"].append(took)
            times["healthz"].append(bare)
        elif number < 5:
            shown = json.loads(answers[0])
            siblings = [int(node) for node in shown["siblings"]]
            proof = MerkleProof(root=int(shown["root"]), leaf=leaf, index=shown["index"], siblings=siblings)
            assert verify_merkle_proof(proof)
    for name, both in times.items():
        clock = [1000 * seconds for seconds, _ in both]
        used = median(1000 * seconds for _, seconds in both)
        found[name] = (median(clock), quantiles(clock, n=20)[-1], used)
    return found


def write_report(found: dict[str, tuple[float, ...]], members: int) -> None:
    load = os.getloadavg()[0]
    lines = ["# Census (`make bench-census`)", ""]
    lines += [f"{os.cpu_count()} cores, load average {load:.1f} at the end; {members:,} members.", ""]
    lines += ["| building | seconds | of them our processor | goal |", "|---|---|---|---|"]
    for name, goal in (("hashing alone", ""), ("tree in the database", "≤ 60")):
        lines.append(f"| {name} | {found[name][0]:.1f} | {found[name][1]:.1f} | {goal} |")
    lines += ["", "| answer, through the whole application | p50 ms | p95 ms | our processor ms | goal |"]
    lines += ["|---|---|---|---|---|"]
    for name, key, goal in (("`/elections/{id}/census/proof`", "proof", "≤ 5"), ("`/healthz`", "healthz", "")):
        p50, p95, used = found[key]
        lines.append(f"| {name} | {p50:.1f} | {p95:.1f} | {used:.1f} | {goal} |")
    text = "\n".join([*lines, ""])
    (REPORT / "census.md").write_text(text)
    print(text)


def main() -> None:
    from loadtest.ground import measured_services

    members = int(sys.argv[1]) if len(sys.argv) > 1 else MEMBERS
    with measured_services(RATE_LIMIT="1000000/60", LOG_LEVEL="CRITICAL"):
        import django

        django.setup()
        write_report(measure(members), members)


if __name__ == "__main__":
    main()
