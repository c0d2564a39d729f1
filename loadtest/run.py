"""Runs one profile of the load test on a stack of its own and holds it to `budgets.toml` (loadtest/README.md)."""

import csv
import json
import os
import resource
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.local.services import ROOT
from loadtest.stack import BIN, Server, Stack, cpu_seconds_of, machine, measured_stack, public_id

HERE = Path(__file__).parent
REPORT = HERE / "report"
CONFIGURATION = tomllib.loads((HERE / "budgets.toml").read_text())


@dataclass
class Watch:
    """Memory of the servers over time, in megabytes, sampled every two seconds."""

    servers: dict[str, Server]
    samples: list[tuple[float, dict[str, float]]] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        started = time.monotonic()
        while not self.stopped.wait(2):
            sample = {name: server.resident_megabytes() for name, server in self.servers.items()}
            self.samples.append((time.monotonic() - started, sample))

    def growth_percent(self, name: str) -> float:
        values = [sample[name] for _, sample in self.samples]
        tenth = max(1, len(values) // 10)
        early, late = values[tenth : 2 * tenth] or values[:1], values[-tenth:]
        return (sum(late) / len(late)) / (sum(early) / len(early)) * 100 - 100


def start_worker(stack: Stack) -> Server:
    """Start a Celery worker for proofs."""
    command = [str(BIN / "celery"), "-A", "config", "worker", "-Q", "proofs,default,notifications,audit", "-c", "2"]
    log = stack.folder / "worker.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--without-gossip", "--without-mingle", "-n", "load@%h"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=stack.environment,
            start_new_session=True,
        )
    worker = Server("", process, log)
    stack.servers.append(worker)
    return worker


def start_changer(stack: Stack, changes_per_second: float) -> tuple[subprocess.Popen[str], str]:
    log = (stack.folder / "changer.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "loadtest.changer", str(changes_per_second)],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        cwd=ROOT,
        env=stack.environment,
    )
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise RuntimeError((stack.folder / "changer.log").read_text()[-2000:])
    return process, json.loads(line)["token"]


# The sockets have a generator of their own: a push to two thousand of them keeps it busy for most of a second, and what
# others in its process see would seem to take as long. So the lag is measured by some sockets in a third.
LISTENERS = 100
GENERATORS = {
    "load": (("Reader", "Poller", "GraphqlUser", "Prover"), ("READERS", "POLLERS", "GRAPHQL", "PROVERS")),
    "load_sockets": (("Subscriber",), ("SUBSCRIBERS",)),
    "load_listeners": (("Listener",), ("LISTENERS",)),
}


def locust_command(name: str, classes: tuple[str, ...], users: int, seconds: int) -> list[str]:
    command = [str(BIN / "locust"), "-f", str(HERE / "locustfile.py"), *classes, "--headless", "--only-summary"]
    command += ["-u", str(users), "-r", str(max(20, users // 10)), "-t", f"{seconds}s", "--stop-timeout", "5"]
    return [*command, "--html", str(REPORT / f"{name}.html"), "--csv", str(REPORT / name), "--loglevel", "WARNING"]


def read_csv(kind: str) -> list[dict[str, str]]:
    """Read the rows of one kind of Locust's files (`stats`, `failures`) from all generators."""
    rows: list[dict[str, str]] = []
    for name in GENERATORS:
        with (REPORT / f"{name}_{kind}.csv").open() as file:
            of = " (measured sockets)" if name == "load_listeners" else ""
            rows += [row | {"of": of} for row in csv.DictReader(file) if row["Name"] != "Aggregated"]
    return rows


def run_locust(stack: Stack, profile: dict[str, Any], servers: dict[str, Server], token: str) -> Watch:
    users = {name: profile[name.lower()] for name in ("READERS", "POLLERS", "SUBSCRIBERS", "GRAPHQL", "PROVERS")}
    users |= {"LISTENERS": LISTENERS, "SUBSCRIBERS": users["SUBSCRIBERS"] - LISTENERS}
    environment = os.environ | {f"LOAD_{name}": str(count) for name, count in users.items()}
    environment |= {
        "LOAD_HTTP": servers["http"].address,
        "LOAD_SOCKETS": servers["sockets"].address,
        "LOAD_REDIS": stack.redis.url,
        "LOAD_TOKEN": token,
        "LOAD_IDS": json.dumps([public_id(number) for number in range(1, 101)]),
        "PYTHONWARNINGS": "ignore",
    }
    seconds = profile["seconds"]
    watch = Watch(servers)
    watcher = threading.Thread(target=watch.run, daemon=True)
    with (REPORT / "locust.log").open("wb") as output:
        generators = [
            subprocess.Popen(
                locust_command(name, classes, sum(users[each] for each in kinds), seconds),
                env=environment,
                cwd=HERE,
                stdout=output,
                stderr=output,
            )
            for name, (classes, kinds) in GENERATORS.items()
        ]
        watcher.start()
        try:
            for number in range(profile["deploys"]):
                time.sleep(seconds * (number + 1) / (profile["deploys"] + 1))
                deploy(stack, servers)
            for generator in generators:
                generator.wait(seconds + 120)
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            print(f"CPU of the load generators: {used.ru_utime + used.ru_stime:.1f} s", file=sys.stderr)
        finally:
            for generator in generators:
                generator.kill()
            watch.stopped.set()
            watcher.join()
    return watch


def deploy(stack: Stack, servers: dict[str, Server]) -> None:
    """Replace the server of the sockets, as a deploy does: all clients come back at once."""
    old = servers["sockets"]
    port = old.address.rpartition(":")[2]
    print(f"deploy: the sockets' server stopped in {old.stop():.1f} s", file=sys.stderr, flush=True)
    stack.servers.remove(old)
    servers["sockets"] = stack.serve(SOCKET_SERVER, "--port", port)


SOCKET_SERVER = "sockets"


def read_figures(watch: Watch, profile_name: str) -> dict[str, float]:
    """Read what Locust wrote, as the figures that budgets are set for."""
    rows = read_csv("stats")

    def percentile(name: str, share: str) -> float:
        """Return the worst generator's."""
        values = [float(row[share]) for row in rows if row["Name"] == name and row[share] not in ("", "N/A")]
        return max(values, default=float("nan"))

    stale = errors = 0
    for row in read_csv("failures"):
        count = int(row["Occurrences"])
        stale += count if "stale body" in row["Error"] else 0
        errors += count if "stale body" not in row["Error"] else 0
    figures = {
        "elections_p95_ms": percentile("/elections", "95%"),
        "election_p95_ms": percentile("/elections/{id}", "95%"),
        "graphql_p95_ms": percentile("/graphql", "95%"),
        "socket_lag_p99_ms": percentile("lag", "99%"),
        "unexpected_errors": errors,
        "stale_bodies": stale,
    }
    if any(row["Name"] == "reconnect" for row in rows):
        figures["reconnect_p99_ms"] = percentile("reconnect", "99%")
    if profile_name == "soak":
        figures["memory_growth_percent"] = max(watch.growth_percent(name) for name in watch.servers)
    return figures


def write_report(profile_name: str, profile: dict[str, Any], figures: dict[str, float], watch: Watch) -> str:
    budgets, size, rows = CONFIGURATION["budgets"], machine(), read_csv("stats")
    lines = [
        f"## Profile `{profile_name}`",
        "",
        f"{time.strftime('%Y-%m-%d')}, {size['cpus']} CPUs, {size['memory_gb']} GB, the load generator among them; "
        f"load average at the end {os.getloadavg()[0]:.1f}. {profile['seconds']} s; readers {profile['readers']}, "
        f"pollers {profile['pollers']}, sockets {profile['subscribers']:,}, GraphQL {profile['graphql']}, provers "
        f"{profile['provers']}; {profile['changes_per_second']} changes/s; deploys {profile['deploys']}.",
        "",
        "| budget | allowed | seen | |",
        "|---|---:|---:|---|",
    ]
    for name, value in figures.items():
        lines.append(
            f"| {name} | {budgets[name]} | {value:,.0f} | {'kept' if value <= budgets[name] else '**broken**'} |"
        )
    lines += [
        "",
        "| what | requests | failures | req/s | p50 ms | p95 ms | p99 ms |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        lines.append(
            f"| {row['Type']} {row['Name']}{row['of']} | {int(row['Request Count']):,} | {row['Failure Count']} | "
            f"{float(row['Requests/s']):,.1f} | {row['50%']} | {row['95%']} | {row['99%']} |"
        )
    memory = ", ".join(
        f"{name} {watch.samples[0][1][name]:.0f} → {watch.samples[-1][1][name]:.0f} MB" for name in watch.servers
    )
    lines += ["", f"Memory of the servers, start to end: {memory}."]
    text = "\n".join(lines) + "\n"
    (REPORT / f"load-{profile_name}.md").write_text(text)
    return text


def plot(profile_name: str, watch: Watch) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with (REPORT / "load_stats_history.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["Name"] == "Aggregated"]
    if not rows or not watch.samples:
        return
    begun = int(rows[0]["Timestamp"])
    times = [int(row["Timestamp"]) - begun for row in rows]

    def series(name: str) -> list[float]:
        return [float(row[name]) if row[name] not in ("", "N/A") else float("nan") for row in rows]

    figure, (rate, latency, memory) = pyplot.subplots(3, 1, figsize=(8, 7), sharex=True)
    rate.plot(times, series("Requests/s"), color="#a8431c")
    rate.set_ylabel("requests/s")
    latency.plot(times, series("50%"), color="#c9b7a2", label="p50")
    latency.plot(times, series("95%"), color="#a8431c", label="p95")
    latency.set_ylabel("ms, of all requests")
    latency.legend(frameon=False)
    for name in watch.servers:
        memory.plot([at for at, _ in watch.samples], [sample[name] for _, sample in watch.samples], label=name)
    memory.set_ylabel("memory, MB")
    memory.set_ylim(bottom=0)
    memory.set_xlabel("seconds")
    memory.legend(frameon=False)
    for axis in (rate, latency, memory):
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(REPORT / f"load-{profile_name}.png", dpi=75)


def main(profile_name: str) -> int:
    profile = CONFIGURATION["profiles"].get(profile_name)
    if profile is None:
        print(f"no profile {profile_name!r}; there are {', '.join(CONFIGURATION['profiles'])}", file=sys.stderr)
        return 2
    REPORT.mkdir(exist_ok=True)
    for stale in REPORT.glob("load_*.csv"):
        stale.unlink()
    with measured_stack(100) as stack:
        servers = {"http": stack.serve("granian wsgi"), "sockets": stack.serve(SOCKET_SERVER)}
        worker = start_worker(stack)
        changer, token = start_changer(stack, profile["changes_per_second"])
        cpu_before = servers["http"].cpu_seconds()
        try:
            watch = run_locust(stack, profile, servers, token)
            if changer.poll() is not None:
                raise RuntimeError((stack.folder / "changer.log").read_text()[-2000:])
        finally:
            changer.kill()
            changer.wait()
        used = servers["http"].cpu_seconds() - cpu_before
        sockets, redis = servers["sockets"].cpu_seconds(), cpu_seconds_of(stack.redis_pid)
        print(f"CPU: http {used:.1f} s, sockets {sockets:.1f} s, redis {redis:.1f} s", file=sys.stderr)
        worker.stop()
    figures = read_figures(watch, profile_name)
    print(write_report(profile_name, profile, figures, watch))
    plot(profile_name, watch)
    budgets = CONFIGURATION["budgets"]
    # A figure that could not be had (nan) keeps no budget.
    broken = [name for name, value in figures.items() if not value <= budgets[name]]
    for name in broken:
        print(f"budget broken: {name} is {figures[name]:,.0f}, allowed {budgets[name]}", file=sys.stderr)
    if figures["unexpected_errors"]:
        for row in read_csv("failures")[:20]:
            print(", ".join(row.values())[:300], file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1] if len(sys.argv) > 1 else "full"))
