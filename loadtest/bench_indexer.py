"""Benchmark: events a second into PostgreSQL beside a plain web3.py loop, and the lag from a head to a socket.

    python loadtest/bench_indexer.py [--events 100000] [--heads 100]

Starts its own PostgreSQL (durable), Redis and EVM node. Writes loadtest/report/indexer.md and indexer.png.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
REPORT = ROOT / "loadtest" / "report"

from deploy.local import services  # noqa: E402

VOTES_PER_TRANSACTION = 1000
ELECTIONS = 20


def prepare(folder: Path) -> dict[str, Any]:
    """Start the services and point the settings at them."""
    postgres = services.start_postgres(folder / "postgres")
    redis = services.start_redis(folder / "redis")
    # One slot an epoch: a block is final two blocks later, so that a backfill reads ranges.
    options = ["--slots-in-an-epoch", "1", "--gas-limit", "1000000000"]
    anvil = services.start_anvil(folder / "anvil", options=options)
    # A superuser does everything here: privileges cost no time.
    postgres.create_database("psephos")
    os.environ |= {
        "DATABASE_URL": postgres.url("psephos"),
        "REDIS_URL": redis.url,
        "CHAIN_RPC_URLS": anvil.url,
        "DJANGO_SETTINGS_MODULE": "config.settings.local",
        "LOG_LEVEL": "WARNING",
    }
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
        cwd=ROOT,
        check=True,
        env=dict(os.environ, MIGRATION_DATABASE_URL=postgres.url("psephos")),
    )
    return {"postgres": postgres, "redis": redis, "anvil": anvil}


def make_events(url: str, count: int) -> str:
    """Emit elections and votes; return the emitting contract."""
    from chain.tests.factories import METADATA_HASH, Ground

    ground = Ground(url)
    source = ground.deploy("EventSource")
    for election in range(ELECTIONS):
        ground.transact("create", election, METADATA_HASH, 1, 1 << 40, 4, to=source, contract="EventSource")
    for number in range(count // VOTES_PER_TRANSACTION):
        first = number * VOTES_PER_TRANSACTION
        ground.transact("vote", number % ELECTIONS, first, VOTES_PER_TRANSACTION, 4, to=source, contract="EventSource")
    ground.mine(8)
    return source


def run_indexer(source: str, range_blocks: int) -> tuple[int, float]:
    """Index everything once; return (events, seconds)."""
    from chain.services import Configured, Runner, build_indexer

    indexer = build_indexer(configured=[Configured("psephos", source, 0)])
    indexer.range_size.blocks = range_blocks
    started = time.perf_counter()
    Runner(indexer, once=True).run()
    return indexer.events_written, time.perf_counter() - started


def run_plain_loop(url: str, source: str, up_to: int) -> tuple[int, float]:
    """What one writes first: web3.py's get_logs for the event, in steps of ten blocks, and one INSERT for each step."""
    import psycopg
    from web3 import Web3

    from chain.abi import artifact

    w3 = Web3(Web3.HTTPProvider(url, request_kwargs={"timeout": 120}))
    contract = w3.eth.contract(address=Web3.to_checksum_address(source), abi=artifact("EventSource")["abi"])
    count = 0
    started = time.perf_counter()
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection:
        connection.execute(
            "CREATE TEMPORARY TABLE plain (block bigint, tx bytea, idx int, election numeric, n numeric)"
        )
        for low in range(0, up_to + 1, 10):
            logs = contract.events.VoteCast().get_logs(from_block=low, to_block=min(low + 9, up_to))
            rows = [
                (log.blockNumber, bytes(log.transactionHash), log.logIndex, log.args.id, log.args.nullifier)
                for log in logs
            ]
            with connection.cursor() as cursor:
                cursor.executemany("INSERT INTO plain VALUES (%s, %s, %s, %s, %s)", rows)
            count += len(rows)
    return count, time.perf_counter() - started


def forget() -> None:
    """Empty the index between runs."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE chain_eventlog, chain_block, chain_coverage, chain_checkpoint, chain_contract, chain_deadletter, "
            "elections_election CASCADE"
        )


class Measured:
    """Heads as they arrive at a WebSocket client."""

    def __init__(self) -> None:
        self.arrivals: dict[int, float] = {}
        self.ready = threading.Event()

    def listen(self, url: str, stop: threading.Event) -> None:
        async def main() -> None:
            from websockets.asyncio.client import connect

            async with connect(url, origin="http://localhost") as client:  # type: ignore[arg-type]
                self.ready.set()
                while not stop.is_set():
                    try:
                        async with asyncio.timeout(0.5):
                            text = await client.recv()
                    except TimeoutError:
                        continue
                    now = time.time()
                    message = json.loads(text)
                    if message["type"] == "block" and not message.get("is_repeat"):
                        self.arrivals.setdefault(message["block"], now)

        asyncio.run(main())


def measure_lag(parts: dict[str, Any], folder: Path, source: str, heads: int) -> list[float]:
    """Mine blocks with votes and time each from the node's answer to a socket's message, in milliseconds."""
    from chain.tests.factories import Ground

    ground = Ground(parts["anvil"].url)
    port = services.free_port()
    indexer = services.launch(
        "indexer", [sys.executable, "manage.py", "index_chain"], log=folder / "indexer.log", cwd=ROOT
    )
    web = services.launch(
        "web",
        [sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(port), "--log-level", "warning"],
        log=folder / "web.log",
        cwd=ROOT,
    )
    measured, stop = Measured(), threading.Event()
    try:
        services.wait_until("web", lambda: is_listening(port), web, folder / "web.log", 60)
        thread = threading.Thread(target=measured.listen, args=(f"ws://127.0.0.1:{port}/ws/chain", stop))
        thread.start()
        measured.ready.wait(20)
        # A client is told of the last head at once, by the database: the listener follows when it hears of a new one.
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and ground.height not in measured.arrivals:
            ground.mine()
            time.sleep(0.5)
        lags = []
        for number in range(heads):
            ground.call("evm_mine")
            mined_at, block = time.time(), ground.height
            if number % 5 == 0:
                ground.transact("vote", 1, 10_000_000 + number, 1, 4, to=source, contract="EventSource")
            deadline = time.monotonic() + 10
            while block not in measured.arrivals and time.monotonic() < deadline:
                time.sleep(0.002)
            lags.append((measured.arrivals.get(block, mined_at + 10) - mined_at) * 1000)
            time.sleep(0.1)
        return lags
    finally:
        stop.set()
        for process in (indexer, web):
            process.terminate()
        for process in (indexer, web):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def is_listening(port: int) -> bool:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def write_report(rates: list[float], plain: float, events: int, plain_events: int, lags: list[float]) -> str:
    rate = statistics.median(rates)
    lines = [
        "# Indexer",
        "",
        f"{events:,} logs of ElectionManager's form ({VOTES_PER_TRANSACTION} votes a transaction) from one anvil node "
        "into PostgreSQL with fsync on, all parts on the same 2 cores; headers, hashes, links and blooms checked, "
        "elections folded, one transaction for each range.",
        "",
        "| | events/s | times the plain loop |",
        "|---|---|---|",
        f"| psephos, median of {len(rates)} runs ({', '.join(f'{one:,.0f}' for one in rates)}) | {rate:,.0f} | "
        f"{rate / plain:.1f} |",
        f"| plain web3.py loop, `get_logs` and INSERT ({plain_events:,} logs, no checks, no fold) | {plain:,.0f} | 1 |",
    ]
    if lags:
        lines += [
            "",
            f"Lag from the node's block to a client of `/ws/chain`, {len(lags)} heads, indexer and socket server in "
            "processes of their own:",
            "",
            "| p50 | p90 | p99 | max |",
            "|---|---|---|---|",
            f"| {percentile(lags, 0.5):.0f} ms | {percentile(lags, 0.9):.0f} ms | {percentile(lags, 0.99):.0f} ms | "
            f"{max(lags):.0f} ms |",
        ]
    lines += ["", "![rates and lag](indexer.png)", ""]
    REPORT.mkdir(exist_ok=True)
    text = "\n".join(lines)
    (REPORT / "indexer.md").write_text(text)
    plot(rate, plain, lags)
    return text


def plot(rate: float, plain: float, lags: list[float]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    left.barh(["plain web3.py", "psephos"], [plain, rate], color=["#9aa5b1", "#3056d3"])
    left.axvline(25_000, color="#b42318", linestyle=":", label="goal 25,000")
    left.set_xlabel("events/s into PostgreSQL")
    left.legend()
    if lags:
        right.hist(lags, bins=30, color="#3056d3")
        right.axvline(250, color="#b42318", linestyle=":", label="goal: p99 250 ms")
        right.set_xlabel("ms from block to WebSocket client")
        right.legend()
    figure.tight_layout()
    figure.savefig(REPORT / "indexer.png", dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--plain-events", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--heads", type=int, default=100)
    parser.add_argument("--range-blocks", type=int, default=20)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="psephos-bench-"))
    folder.chmod(0o755)
    parts = prepare(folder)
    try:
        import django

        django.setup()
        source = make_events(parts["anvil"].url, options.events)
        os.environ["CHAIN_CONTRACTS"] = f"psephos@{source}@0"
        rates, events = [], 0
        for _ in range(options.runs):
            forget()
            if options.profile:
                import cProfile
                import pstats

                profile = cProfile.Profile()
                profile.enable()
            events, seconds = run_indexer(source, options.range_blocks)
            if options.profile:
                profile.disable()
                pstats.Stats(profile).sort_stats("tottime").print_stats(28)
            rates.append(events / seconds)
            print(f"psephos: {events:,} events in {seconds:.2f} s: {events / seconds:,.0f}/s", flush=True)
        up_to = 1 + ELECTIONS + options.plain_events // VOTES_PER_TRANSACTION
        plain_events, seconds = run_plain_loop(parts["anvil"].url, source, up_to)
        print(f"plain:   {plain_events:,} events in {seconds:.2f} s: {plain_events / seconds:,.0f}/s", flush=True)
        lags = measure_lag(parts, folder, source, options.heads) if options.heads else []
        print(write_report(rates, plain_events / seconds, events, plain_events, lags))
    finally:
        for part in ("anvil", "redis", "postgres"):
            parts[part].stop()
        if os.environ.get("KEEP") != "1":
            import shutil

            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
