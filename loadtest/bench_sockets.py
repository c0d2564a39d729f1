"""Benchmark: 2,000 WebSockets on one machine: the lag of every message to every socket, and memory per socket.

    python -m loadtest.bench_sockets [--sockets 2000] [--heads 20]

`/ws/chain` beside `/ws/elections` in the same run, each with one hub per process; the clients are a process of their
own. Writes loadtest/report/sockets.md and sockets.png.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from deploy.local import services
from deploy.local.services import ROOT

REPORT = ROOT / "loadtest" / "report"
BIN = Path(sys.executable).parent
SERVERS = {
    "granian": ["granian", "--interface", "asginl", "--workers", "1", "config.asgi:application", "--port"],
    # As it is deployed.
    "uvicorn": [sys.executable, "manage.py", "serve_sockets", "--port"],
}
CHAIN_ID = 31337
PAUSE_SECONDS = 0.5


def raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else max(soft, 8192), hard))


# The clients' process


async def clients(url: str, count: int, heads: int) -> dict[str, Any]:
    """Open sockets, tell how many stand, then time each numbered message on each socket."""
    from websockets.asyncio.client import connect

    lags: list[float] = []
    complete = 0
    opened = asyncio.Semaphore(50)
    closed = 0

    async def one(ready: asyncio.Event) -> None:
        nonlocal complete, closed
        seen = 0
        async with opened:
            socket = await connect(url, compression=None, ping_interval=None, open_timeout=120)
        ready.set()
        try:
            async for text in socket:
                message = json.loads(text)
                if message.get("type") == "heartbeat":
                    await socket.send('{"type":"heartbeat"}')
                if message.get("bench") and not message.get("is_repeat"):
                    lags.append((time.time() - message["observed_at"]) * 1000)
                    seen += 1
                    if seen == heads:
                        complete += 1
                        break
            else:
                closed += 1
        finally:
            await socket.close()

    ready = [asyncio.Event() for _ in range(count)]
    tasks = [asyncio.create_task(one(event)) for event in ready]
    await asyncio.gather(*[event.wait() for event in ready])
    print(json.dumps({"opened": count}), flush=True)
    await asyncio.wait(tasks, timeout=heads * PAUSE_SECONDS + 60)
    lags.sort()

    def at(share: float) -> float:
        return lags[min(len(lags) - 1, int(len(lags) * share))] if lags else -1

    return {
        "messages": len(lags),
        "complete": complete,
        "closed": closed,
        "p50": at(0.5),
        "p90": at(0.9),
        "p99": at(0.99),
        "max": lags[-1] if lags else -1,
    }


# The measuring process


def head(number: int) -> dict[str, Any]:
    return {
        "type": "block",
        "bench": 1,
        "chain_id": CHAIN_ID,
        "block": number,
        "hash": f"0x{number:064x}",
        "parent_hash": f"0x{number - 1:064x}",
        "timestamp": int(time.time()),
        "finality": "latest",
        "safe_block": number,
        "finalized_block": number,
        "observed_at": time.time(),
        "next_end": {"election": "31337-5fbdb231-1", "end_block": 10_000_000},
        "block_seconds": 2.0,
    }


def say_head(number: int) -> None:
    from chain.services import publish_head

    publish_head(chain_id=CHAIN_ID, message=head(number))


def say_change(number: int) -> None:
    import redis

    from elections.services.publishing import channel

    text = json.dumps({"type": "election", "bench": 1, "observed_at": time.time(), "padding": "x" * 300})
    message = {"messages": [["", text]], "revision": number, "published_at": time.time()}
    with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
        client.publish(channel(), json.dumps(message))


def memory_of(process: subprocess.Popen[bytes]) -> int:
    """Return the resident bytes of a server and its workers."""
    parent = psutil.Process(process.pid)
    return sum(one.memory_info().rss for one in [parent, *parent.children(recursive=True)])


def measure(folder: Path, server: str, path: str, sockets: int, heads: int) -> dict[str, Any]:
    port = services.free_port()
    log = folder / f"{server}.log"
    command = [str(BIN / SERVERS[server][0]), *SERVERS[server][1:], str(port)]
    process = services.launch(server, command, log=log, cwd=ROOT)
    try:
        services.wait_until(server, lambda: is_listening(port), process, log, 60)
        # A first socket loads what is loaded late.
        asyncio.run(touch(f"ws://localhost:{port}{path}"))
        before = memory_of(process)
        arguments = ["--client", f"ws://localhost:{port}{path}", "--sockets", str(sockets), "--heads", str(heads)]
        child = subprocess.Popen(
            [sys.executable, "-m", "loadtest.bench_sockets", *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        started = time.monotonic()
        json.loads(child.stdout.readline())
        connected = time.monotonic() - started
        time.sleep(1)
        after = memory_of(process)
        for number in range(heads):
            (say_head if path == "/ws/chain" else say_change)(1000 + number)
            time.sleep(PAUSE_SECONDS)
        result: dict[str, Any] = json.loads(child.stdout.readline())
        child.wait(30)
        return result | {
            "server": server,
            "path": path,
            "sockets": sockets,
            "kilobytes": (after - before) / sockets / 1024,
            "connect_seconds": connected,
        }
    finally:
        services.Service(server, "", process).stop()


async def touch(url: str) -> None:
    from websockets.asyncio.client import connect

    async with connect(url, open_timeout=60) as socket:
        await socket.recv()


def is_listening(port: int) -> bool:
    import socket

    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True


def write_report(results: list[dict[str, Any]]) -> str:
    lines = [
        "# Sockets",
        "",
        f"{results[0]['sockets']:,} WebSockets in one server process; from publishing in Redis to each client's JSON, "
        "clients in a process of their own on the same 2 cores.",
        "",
        "| server | socket | p50 ms | p90 ms | p99 ms | max ms | sockets that got all | kB per socket | s to connect |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {one['server']} | `{one['path']}` | {one['p50']:.0f} | {one['p90']:.0f} | {one['p99']:.0f} | "
        f"{one['max']:.0f} | {one['complete']:,} of {one['sockets']:,} | {one['kilobytes']:.0f} | "
        f"{one['connect_seconds']:.1f} |"
        for one in results
    ]
    lines += ["", "Both sockets are fed by one hub per process.", ""]
    lines += ["![lag and memory](sockets.png)", ""]
    REPORT.mkdir(exist_ok=True)
    text = "\n".join(lines)
    (REPORT / "sockets.md").write_text(text)
    plot(results)
    return text


def plot(results: list[dict[str, Any]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = [f"{one['server']}\n{one['path']}" for one in results]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2))
    left.bar(names, [one["p99"] for one in results], color="#3056d3")
    left.axhline(1000, color="#b42318", linestyle=":", label="goal: all within 1 s")
    left.set_ylabel("p99 ms to a socket")
    left.legend()
    right.bar(names, [one["kilobytes"] for one in results], color="#9aa5b1")
    right.set_ylabel("kB per socket")
    for axis in (left, right):
        axis.tick_params(axis="x", labelsize=7)
    figure.tight_layout()
    figure.savefig(REPORT / "sockets.png", dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sockets", type=int, default=2000)
    parser.add_argument("--heads", type=int, default=20)
    parser.add_argument("--servers", default="uvicorn,granian")
    parser.add_argument("--client", default="")
    options = parser.parse_args()
    raise_file_limit()
    if options.client:
        print(json.dumps(asyncio.run(clients(options.client, options.sockets, options.heads))), flush=True)
        return
    folder = Path(tempfile.mkdtemp(prefix="psephos-bench-"))
    folder.chmod(0o755)
    postgres = services.start_postgres(folder / "postgres", is_durable=False)
    redis = services.start_redis(folder / "redis")
    try:
        postgres.create_database("psephos")
        os.environ |= {
            "DATABASE_URL": postgres.url("psephos"),
            "MIGRATION_DATABASE_URL": postgres.url("psephos"),
            "REDIS_URL": redis.url,
            "DJANGO_SETTINGS_MODULE": "config.settings.local",
            "LOG_LEVEL": "WARNING",
            "RATE_LIMIT_BYPASS_CIDRS": "127.0.0.0/8,::1/128",
        }
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
        import django

        django.setup()
        from chain.services import publish_head

        results = []
        for server in options.servers.split(","):
            for path in ("/ws/chain", "/ws/elections"):
                # The state that greets each socket; it is not measured.
                publish_head(chain_id=CHAIN_ID, message=head(1) | {"bench": 0})
                results.append(measure(folder, server, path, options.sockets, options.heads))
                print(results[-1], flush=True)
        print(write_report(results))
    finally:
        redis.stop()
        postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
