"""Measures HTTP in one run: bare servers, Psephos with and without its parts, and the servers it could run under.

`make bench-http` writes `report/http.md` and `report/http.png`. Medians of three rounds, taken in turns. Beside the
clock stands the CPU time of one request, which a busy machine changes less.
"""

import contextlib
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import requests

from loadtest.hammer import Outcome, hammer
from loadtest.stack import Server, Stack, cpu_seconds_of, machine, measured_stack, public_id, seed_elections

REPORT = Path(__file__).parent / "report"
ROUNDS, SECONDS = int(os.environ.get("ROUNDS", "3")), float(os.environ.get("SECONDS", "1"))
CONNECTIONS = (1, 32, 128)
GZIP = {"Accept-Encoding": "gzip"}
LIST, DETAIL = "/elections", f"/elections/{public_id(5)}"


@dataclass
class Case:
    """One row: what is asked, of which server, and what each round saw by number of connections."""

    name: str
    server: Server
    path: str
    headers: dict[str, str]
    rounds: dict[int, list[tuple[Outcome, float]]]

    def figure(self, connections: int, read: Callable[[Outcome], float]) -> float:
        return median(read(outcome) for outcome, _ in self.rounds[connections])

    def cpu(self, connections: int) -> float:
        return median(cpu for _, cpu in self.rounds[connections])


def measure(stack: Stack, case: Case, connections: int) -> None:
    before = case.server.cpu_seconds() + cpu_seconds_of(stack.redis_pid)
    outcome = hammer(case.server.address + case.path, connections=connections, seconds=SECONDS, headers=case.headers)
    used = case.server.cpu_seconds() + cpu_seconds_of(stack.redis_pid) - before
    wrong = {status: count for status, count in outcome.statuses.items() if status not in (200, 304)}
    if wrong or outcome.broken:
        print(f"  {case.name}: {wrong} {outcome.broken} broken", file=sys.stderr)
    case.rounds.setdefault(connections, []).append((outcome, used / max(1, len(outcome.times)) * 1e6))


def etag_of(server: Server, path: str) -> str:
    return requests.get(server.address + path, headers=GZIP, timeout=10).headers["ETag"]


def run(stack: Stack) -> list[list[Case]]:
    """Measure group after group; the servers of one group run together and take turns."""
    wsgi = "granian wsgi"
    groups = []

    def case(name: str, server: Server, path: str = LIST, **headers: str) -> Case:
        return Case(name, server, path, GZIP | headers, {})

    everything = stack.serve(wsgi)
    groups.append(
        [
            case("bare ASGI callable (granian)", stack.serve("granian asgi", application="loadtest.probes:bare_asgi")),
            case(
                "bare Django view (granian, WSGI)",
                stack.serve(wsgi, application="loadtest.probes:django_application", BENCH_PROBE="django"),
            ),
            case("`/elections`, everything on", everything),
            case("`/elections`, everything on, 304", everything, **{"If-None-Match": etag_of(everything, LIST)}),
            case("`/elections/{id}`, everything on", everything, DETAIL),
            case(
                "`/elections`, no limits",
                stack.serve(wsgi, application="loadtest.trimmed:application", BENCH_WITHOUT="RateLimit"),
            ),
            case(
                "`/elections`, no limits, no metrics",
                stack.serve(
                    wsgi,
                    application="loadtest.trimmed:application",
                    BENCH_WITHOUT="RateLimit,prometheus,PoolSampler",
                ),
            ),
            case(
                "`/elections` without kept bodies (DRF each time)",
                stack.serve(wsgi, application="loadtest.trimmed:application", BENCH_WITHOUT="HotReads"),
                f"{LIST}?limit=99",
            ),
        ]
    )
    groups.append(
        [
            case("granian, WSGI", everything),
            case("granian, ASGI with a2wsgi", stack.serve("granian asgi")),
            case("uvicorn, ASGI with a2wsgi", stack.serve("uvicorn asgi")),
            case("daphne, ASGI with a2wsgi (one process)", stack.serve("daphne")),
        ]
    )
    for group in groups:
        for round_number in range(ROUNDS):
            for one in group:
                for connections in CONNECTIONS:
                    measure(stack, one, connections)
            print(f"round {round_number + 1} of {ROUNDS}", file=sys.stderr, flush=True)
    return groups


def run_by_size(stack: Stack) -> list[tuple[int, float, float, float]]:
    """Measure a page in the middle, uncached, and the first page, with 10, 1,000 and 100,000 elections."""
    found = []
    for count in (10, 1000, 100_000):
        seed_elections(stack, count)
        stack.flush_redis()
        server = stack.serve("granian wsgi")
        address = f"{LIST}?limit=5"
        for _ in range(min(count // 10, 20)):
            following = requests.get(server.address + address, timeout=10).json()["next"]
            address = following or address
        deep = hammer(server.address + address, connections=1, seconds=SECONDS, headers=GZIP)
        detail = hammer(server.address + f"/elections/{public_id(count // 2)}", connections=1, seconds=SECONDS)
        first = hammer(server.address + LIST, connections=1, seconds=SECONDS, headers=GZIP)
        server.stop()
        found.append((count, first.p50, deep.p50, detail.p50))
    return found


def table(group: list[Case]) -> str:
    head = "| | " + " | ".join(f"{count} conn.: req/s | p50 ms | p99 ms" for count in CONNECTIONS)
    lines = [head + " | CPU µs/request |", "|---" + "|---:" * (3 * len(CONNECTIONS) + 1) + "|"]
    for case in group:
        cells = []
        for connections in CONNECTIONS:
            cells += [
                f"{case.figure(connections, lambda outcome: outcome.requests_per_second):,.0f}",
                f"{case.figure(connections, lambda outcome: outcome.p50):.1f}",
                f"{case.figure(connections, lambda outcome: outcome.p99):.1f}",
            ]
        lines.append(f"| {case.name} | " + " | ".join(cells) + f" | {case.cpu(32):.0f} |")
    return "\n".join(lines)


def plot(groups: list[list[Case]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(groups), 1, figsize=(9, 7.5), height_ratios=[len(group) for group in groups])
    for axis, group in zip(axes, groups, strict=True):
        names = [case.name.replace("`", "") for case in group][::-1]
        for offset, (connections, colour) in enumerate(
            zip(CONNECTIONS, ("#c9b7a2", "#a8431c", "#4c4640"), strict=True)
        ):
            values = [case.figure(connections, lambda outcome: outcome.requests_per_second) for case in group][::-1]
            places = [index + (1 - offset) * 0.26 for index in range(len(group))]
            axis.barh(places, values, height=0.24, color=colour, label=f"{connections} connections")
        axis.set_yticks(range(len(group)), names)
        axis.set_xscale("log")
        axis.grid(axis="x", alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    axes[-1].set_xlabel("requests per second (logarithmic)")
    figure.tight_layout()
    figure.savefig(REPORT / "http.png", dpi=80)


def main() -> None:
    REPORT.mkdir(exist_ok=True)
    with measured_stack(100) as stack:
        groups = run(stack)
        stops = [(server.log.name, server.stop()) for server in list(stack.servers)]
        stack.servers.clear()
        sizes = run_by_size(stack)
    size = machine()
    lines = [
        "# HTTP, measured",
        "",
        f"`make bench-http`: {size['cpus']} CPUs, {size['memory_gb']} GB, the load generator among them; "
        f"100 elections, gzip, two workers; medians of {ROUNDS} rounds of {SECONDS:g} s, taken in turns. Load average "
        f"at the end: {os.getloadavg()[0]:.1f}. CPU is that of server and Redis at 32 connections.",
        "",
        table(groups[0]),
        "",
        "The servers, `/elections`, everything on:",
        "",
        table(groups[1]),
        "",
        "One connection, by number of elections (p50, ms):",
        "",
        "| elections | `/elections` | a page further on, not kept | `/elections/{id}` |",
        "|---:|---:|---:|---:|",
        *[f"| {count:,} | {first:.2f} | {deep:.2f} | {detail:.2f} |" for count, first, deep, detail in sizes],
        "",
        f"The slowest server took {max(seconds for _, seconds in stops):.1f} s to stop.",
    ]
    text = "\n".join(lines) + "\n"
    (REPORT / "http.md").write_text(text)
    with contextlib.suppress(ImportError):
        plot(groups)
    print(text)


if __name__ == "__main__":
    main()
