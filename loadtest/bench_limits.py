"""Measures what the limiter costs a request, and counts what it lets through. Run by `make bench-limits`.

Each process builds the WSGI application twice, with and without RateLimitMiddleware, and calls them in turns; the cost
is the difference of the medians. The server and the network are left out, so nothing hides the cost.
"""

import gc
import os
import random
import subprocess
import sys
import time
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

REPORT = Path(__file__).parent / "report"
REQUESTS, BLOCK, WARM_UP = 600, 50, 50
# Each process waits between its requests as callers do: eight of them on two cores without a pause would only measure
# how long they wait for a core.
PACE_SECONDS = 0.01
FLOOD = 10_000


def answer(request):
    """Answer at once: what is measured is the way here."""
    from django.http import HttpResponse

    return HttpResponse("ok")


answer.api_key_scopes = {"GET": "elections:read"}


def use_routes() -> None:
    """Add the measured route behind all the project's own, so that it is found as late as they are."""
    from django.conf import settings
    from django.urls import path

    from config.urls import urlpatterns

    module = types.ModuleType("loadtest.limits_urls")
    module.urlpatterns = [*urlpatterns, path("bench", answer)]
    sys.modules[module.__name__] = module
    settings.ROOT_URLCONF = module.__name__


def environ(address: str, authorization: str) -> dict:
    from io import BytesIO

    headers = {"HTTP_AUTHORIZATION": authorization} if authorization else {}
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/bench",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": address,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    } | headers


def call(application, address="192.0.2.1", authorization="") -> tuple[int, float]:
    statuses: list[str] = []
    started = time.perf_counter()
    response = application(environ(address, authorization), lambda status, headers: statuses.append(status))
    b"".join(response)
    seconds = time.perf_counter() - started
    response.close()
    return int(statuses[0][:3]), seconds


def child(mode: str, argument: str) -> None:
    """Be one process of the measurement; print its figures when the parent has said go."""
    import django
    from django.conf import settings

    django.setup()
    use_routes()
    from django.core.handlers.wsgi import WSGIHandler

    with_limits = WSGIHandler()
    everything = list(settings.MIDDLEWARE)
    settings.MIDDLEWARE = [name for name in everything if "RateLimit" not in name]
    without = WSGIHandler()
    address = f"192.0.2.{os.getpid() % 250}"
    for application in (with_limits, without):
        for _ in range(WARM_UP if mode == "cost" else 1):
            call(application, address, argument if mode == "cost" else "")
    # As config.wsgi does.
    gc.collect()
    gc.freeze()
    print("ready", flush=True)
    sys.stdin.readline()
    if mode == "flood":
        with ThreadPoolExecutor(4) as pool:
            statuses = list(pool.map(lambda _: call(with_limits, "198.51.100.1")[0], range(int(argument))))
        print(statuses.count(200), statuses.count(429), flush=True)
        return
    times: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(REQUESTS // BLOCK):
        for is_limited, application in ((True, with_limits), (False, without)):
            for _ in range(BLOCK):
                if PACE_SECONDS:
                    time.sleep(random.uniform(0.5, 1.5) * PACE_SECONDS)
                status, seconds = call(application, address, argument)
                assert status == 200, status
                times[is_limited].append(seconds)
    figures = [figure for kind in (False, True) for figure in (median(times[kind]), percentile(times[kind], 0.99))]
    print(*(seconds * 1e6 for seconds in figures), flush=True)


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)]


def run_children(mode: str, argument: str, processes: int, **variables: str) -> list[list[float]]:
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "loadtest.bench_limits", mode, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | variables,
        )
        for _ in range(processes)
    ]
    for process in children:
        assert process.stdout.readline().strip() == "ready"
    for process in children:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [[float(part) for part in process.communicate()[0].split()] for process in children]


def make_key() -> str:
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    from accounts.models import User
    from apikeys.services import create_api_key

    owner = User.objects.create(email="bench@example.org", role="admin")
    key = {"name": "bench", "scopes": ["elections:read"], "actor": "system:bench", "limit_per_minute": 1_000_000}
    return create_api_key(owner=owner, **key)[1]


def main() -> None:
    from loadtest.ground import measured_services

    with measured_services(LOG_LEVEL="ERROR") as redis_url:
        key = make_key()
        rows, costs = [], []
        for who, authorization in (("address", ""), ("key", f"Api-Key {key}")):
            for processes in (1, 8):
                found = run_children("cost", authorization, processes, RATE_LIMIT="1000000/60")
                bare, _, limited, _ = (median(column) for column in zip(*found, strict=True))
                _, bare_slow, _, limited_slow = (max(column) for column in zip(*found, strict=True))
                costs.append((f"{who}, {processes}", limited - bare))
                figures = (bare, limited, limited - bare, bare_slow, limited_slow)
                rows.append(f"| {who} | {processes} | {' | '.join(f'{figure:.0f}' for figure in figures)} |")
        flood = []
        for processes in (1, 8):
            started = time.monotonic()
            found = run_children("flood", str(FLOOD // processes), processes, RATE_LIMIT="60/60")
            seconds = time.monotonic() - started
            allowed, refused = (int(sum(column)) for column in zip(*found, strict=True))
            flood.append(f"| {processes} | {allowed + refused} | {allowed} | {refused} | {seconds:.1f} |")
            redis_flush(redis_url)
            # Past a minute the first tokens come back.
            assert allowed == 60 or seconds > 60, f"{allowed} of {FLOOD} were let through"
    write_report(rows, flood, costs)


def redis_flush(url: str) -> None:
    import redis

    with redis.Redis.from_url(url) as client:
        client.flushdb()


def write_report(rows: list[str], flood: list[str], costs: list[tuple[str, float]]) -> None:
    text = "\n".join(
        [
            "# The limiter's cost (`make bench-limits`)",
            "",
            f"Medians over {REQUESTS} requests a process, one every {PACE_SECONDS * 1000:.0f} ms, in microseconds; "
            "no server, no network; goal of the cost ≤ 500. p99 is the slowest process's.",
            "",
            "| counted by | processes | without | with | cost | p99 without | p99 with |",
            "|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"{FLOOD:,} requests of one address at 60/60, four threads in each process:",
            "",
            "| processes | requests | allowed | refused | seconds with the start |",
            "|---|---|---|---|---|",
            *flood,
            "",
        ]
    )
    REPORT.mkdir(exist_ok=True)
    (REPORT / "limits.md").write_text(text)
    print(text)
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 2.4))
    axes.barh([name for name, _ in costs], [cost for _, cost in costs], color="#2563eb")
    axes.axvline(500, color="#dc2626", linestyle="--", label="goal")
    axes.set_xlabel("cost per request at p50, microseconds")
    axes.legend()
    figure.tight_layout()
    figure.savefig(REPORT / "limits.png", dpi=80)


if __name__ == "__main__":
    child(*sys.argv[1:]) if len(sys.argv) > 1 else main()
