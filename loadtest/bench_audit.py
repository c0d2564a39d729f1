"""Measures the audit log: writers beside the sequencer, against plain rows and a chain in the writer's transaction; and
the verification.

`make bench-audit` starts a PostgreSQL of its own with fsync on. The writers are 16 connections in 4 processes, each
transaction a domain row and its entry through `audit.services.record`.
"""

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
REPORT = ROOT / "loadtest" / "report"
PROCESSES, THREADS = 4, 4
ROUNDS = 3
SECONDS = float(os.environ.get("BENCH_SECONDS", "5"))
VERIFIED_ENTRIES = int(os.environ.get("BENCH_ENTRIES", "600000"))

DOMAIN = "INSERT INTO bench_row (body) VALUES (%s)"
CHAINED = """
WITH last AS (SELECT seq, hash FROM bench_chain ORDER BY seq DESC LIMIT 1)
INSERT INTO bench_chain SELECT coalesce(max(seq), -1) + 1, sha256(coalesce(max(hash), '') || %s::bytea), %s FROM last
"""
FILL = """
INSERT INTO audit_entry (id, created_at, action, actor, target, data, request_id)
SELECT uuidv7(), now(), 'elections.election.cancelled', 'user:' || gen_random_uuid(),
    'election:31337/0x5fbdb2315678afecb367f032d93f642f64180aa3/' || i,
    jsonb_build_object('reason', 'the organiser withdrew it', 'block', i, 'options', 3), md5(i::text)
FROM generate_series(%s::int, %s::int) i
"""
ENTRIES_AT_ONCE = 1000
BODY = {"reason": "the organiser withdrew it", "block": 123_456, "options": 3}


def write_for(mode: str, seconds: float, barrier, results) -> None:
    """Write in threads for a while; report each thread's count and the latencies of its transactions."""
    import django

    django.setup()
    from django.db import connection, transaction

    from audit.services import record

    def loop(counts: list[int], latencies: list[float]) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        barrier.wait()
        end, count = time.perf_counter() + seconds, 0
        while (started := time.perf_counter()) < end:
            with transaction.atomic(), connection.cursor() as cursor:
                if mode != "alone":
                    cursor.execute(DOMAIN, ["x" * 100])
                if mode in {"entry", "alone"}:
                    record(
                        action="elections.election.cancelled",
                        actor="user:0192f0c1-2b5a-7c3d-9e1f-5a6b7c8d9e0f",
                        target=f"election:31337/0x5fbdb2315678afecb367f032d93f642f64180aa3/{count}",
                        data=BODY,
                    )
                elif mode == "chained":
                    cursor.execute("SELECT pg_advisory_xact_lock(7)")
                    cursor.execute(CHAINED, [json.dumps(BODY).encode(), json.dumps(BODY)])
            latencies.append(time.perf_counter() - started)
            count += 1
        counts.append(count)
        connection.close()

    counts: list[int] = []
    latencies: list[float] = []
    threads = [threading.Thread(target=loop, args=[counts, latencies]) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put((sum(counts), latencies[:: max(1, len(latencies) // 2000)]))


def run_writers(mode: str) -> tuple[float, float]:
    """Return transactions per second and the 99th percentile of their latency in milliseconds."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(PROCESSES * THREADS), context.Queue()
    processes = [context.Process(target=write_for, args=[mode, SECONDS, barrier, results]) for _ in range(PROCESSES)]
    for process in processes:
        process.start()
    parts = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    latencies = sorted(latency for _, some in parts for latency in some)
    return sum(count for count, _ in parts) / SECONDS, latencies[int(len(latencies) * 0.99)] * 1000


def main() -> None:
    from deploy.local import services

    REPORT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="psephos-bench-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        postgres = services.start_postgres(folder / "postgres")
        try:
            postgres.create_database("bench")
            os.environ["DATABASE_URL"] = postgres.url("bench", role="psephos_app")
            os.environ["MIGRATION_DATABASE_URL"] = postgres.url("bench", role="psephos_owner")
            os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings.local"
            os.environ["DATABASE_POOL_SIZE"] = str(THREADS)
            os.environ["AUDIT_EXPORT_FOLDER"] = str(folder / "exports")
            manage = [sys.executable, str(ROOT / "manage.py")]
            subprocess.run([*manage, "migrate", "-v", "0"], check=True, cwd=ROOT)
            postgres.execute(
                "CREATE TABLE bench_row (id bigserial PRIMARY KEY, body text)",
                "CREATE TABLE bench_chain (seq bigint PRIMARY KEY, hash bytea, body jsonb)",
                "GRANT ALL ON bench_row, bench_chain TO psephos_app",
                "GRANT ALL ON SEQUENCE bench_row_id_seq TO psephos_app",
                database="bench",
            )
            report(measure(manage, postgres, folder))
        finally:
            postgres.stop()


def measure(manage: list[str], postgres, folder: Path) -> dict[str, float]:
    import django
    import psycopg

    found: dict[str, float] = {}
    found["chained_per_second"], found["chained_p99_ms"] = run_writers("chained")
    print(f"chained: {found['chained_per_second']:,.0f}/s", flush=True)
    as_sequencer = {"DATABASE_URL": postgres.url("bench", role="psephos_sequencer")}
    sequencer = subprocess.Popen(
        [*manage, "run_sequencer"],
        cwd=ROOT,
        env=os.environ | as_sequencer | {"LOG_LEVEL": "WARNING", "AUDIT_CHECKPOINT_SECONDS": "1"},
    )
    lag: list[int] = []
    is_over = threading.Event()

    def watch() -> None:
        with psycopg.connect(postgres.url("bench"), autocommit=True) as connection:
            while not is_over.wait(0.5):
                row = connection.execute(
                    "SELECT (SELECT count(*) FROM audit_entry) - (SELECT count(*) FROM audit_leaf)"
                ).fetchone()
                lag.append(row[0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    # In turns, so that what else the machine does falls on both.
    modes = ("plain", "entry", "alone")
    rounds = [[run_writers(mode) for mode in modes] for _ in range(ROUNDS)]
    ended = time.perf_counter()
    for mode, runs in zip(modes, zip(*rounds, strict=True), strict=True):
        found[f"{mode}_per_second"], found[f"{mode}_p99_ms"] = map(statistics.median, zip(*runs, strict=True))
        print(f"{mode}: {', '.join(f'{rate:,.0f}' for rate, _ in runs)}/s", flush=True)
    is_over.set()
    watcher.join()
    with psycopg.connect(postgres.url("bench"), autocommit=True) as connection:
        count = "SELECT (SELECT count(*) FROM audit_entry), (SELECT count(*) FROM audit_leaf)"
        while (row := connection.execute(count).fetchone())[0] != row[1]:
            time.sleep(0.05)
        found["drained_seconds"] = time.perf_counter() - ended
        found["entries"] = row[0]
        found["largest_backlog"] = max(lag, default=0)
        sequencer.terminate()
        sequencer.wait()
        # In many transactions, as a log grows.
        for start in range(row[0], VERIFIED_ENTRIES, ENTRIES_AT_ONCE):
            connection.execute(FILL, [start, min(start + ENTRIES_AT_ONCE, VERIFIED_ENTRIES) - 1])
        connection.execute("ANALYZE audit_entry, audit_leaf")
    django.setup()
    from audit.selectors import get_verifier_keys
    from audit.services import sequence_all, verify_log, write_bundle
    from audit.verification.bundles import verify_path

    started = time.perf_counter()
    numbered = sequence_all(conninfo=as_sequencer["DATABASE_URL"])
    found["sequencer_alone_per_second"] = numbered / (time.perf_counter() - started) if numbered else 0
    rates = []
    for _ in range(3):
        started = time.perf_counter()
        outcome = verify_log()
        rates.append(outcome.tree_size / (time.perf_counter() - started))
        assert outcome.exit_code == 0, outcome.findings[:3]
    found["verified_entries"], found["verified_per_second"] = outcome.tree_size, statistics.median(rates)
    write_bundle(path=folder / "log.zip")
    started = time.perf_counter()
    offline = verify_path(folder / "log.zip", keys=get_verifier_keys())
    assert offline.exit_code == 0, offline.findings[:3]
    found["offline_per_second"] = offline.tree_size / (time.perf_counter() - started)
    return found


def report(found: dict[str, float]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    ratio = found["entry_per_second"] / found["plain_per_second"]
    lines = [
        "# Audit log",
        "",
        f"16 writers in 4 processes, {os.cpu_count()} cores, fsync on; medians of {ROUNDS} runs of"
        f" {SECONDS:.0f} s, in turns; by `make bench-audit`.",
        "",
        "| what a transaction writes | transactions/s | p99 ms |",
        "|---|---|---|",
        f"| a domain row alone (baseline) | {found['plain_per_second']:,.0f} | {found['plain_p99_ms']:.0f} |",
        "| a domain row, chained under a lock in the transaction"
        f" | {found['chained_per_second']:,.0f} | {found['chained_p99_ms']:.0f} |",
        "| a domain row and its audit entry, the sequencer running"
        f" | {found['entry_per_second']:,.0f} ({ratio:.2f} of the baseline) | {found['entry_p99_ms']:.0f} |",
        "| an audit entry alone (a refusal, a notification), the sequencer running"
        f" | {found['alone_per_second']:,.0f} | {found['alone_p99_ms']:.0f} |",
        "",
        f"The sequencer numbered {found['entries']:,.0f} entries beside the writers (largest backlog"
        f" {found['largest_backlog']:,.0f};"
        f" {found['drained_seconds']:.1f} s after the last write the log was complete);"
        f" alone it numbers {found['sequencer_alone_per_second']:,.0f}/s.",
        "",
        "| verification | entries | entries/s |",
        "|---|---|---|",
        "| database, all cores, median of 3"
        f" | {found['verified_entries']:,.0f} | {found['verified_per_second']:,.0f} |",
        f"| bundle, offline, all cores | {found['verified_entries']:,.0f} | {found['offline_per_second']:,.0f} |",
        "",
        "![audit log](audit.png)",
    ]
    (REPORT / "audit.md").write_text("\n".join(lines) + "\n")
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2))
    axes[0].bar(
        ["row alone", "chained in\nthe transaction", "row + entry", "entry alone"],
        [found[f"{mode}_per_second"] for mode in ("plain", "chained", "entry", "alone")],
        color=["#9ca3af", "#d97706", "#7c3aed", "#7c3aed"],
    )
    axes[0].axhline(2500, color="black", linewidth=0.8, linestyle="--")
    axes[0].set_title("transactions/s, 16 writers")
    axes[1].bar(
        ["database", "bundle"],
        [found["verified_per_second"], found["offline_per_second"]],
        color=["#7c3aed", "#9ca3af"],
    )
    axes[1].axhline(200_000, color="black", linewidth=0.8, linestyle="--")
    axes[1].set_title("entries verified/s")
    figure.tight_layout()
    figure.savefig(REPORT / "audit.png", dpi=80)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
