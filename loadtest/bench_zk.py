"""Measures proofs a minute and their latency, per circuit and prover, with 1 to 4 workers. Run by `make bench-zk`.

snarkjs in a Node process for each proof is the baseline, in the same run. Beside it, over the whole WSGI application
with PostgreSQL and Redis: a proof found in the cache, and an input refused.
"""

import io
import json
import logging
import os
import resource
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median, quantiles

REPORT = Path(__file__).parent / "report"
WORKERS = (1, 2, 3, 4)
# Seconds for each measurement; every worker finishes the proof that it has begun.
WINDOW_SECONDS = {"voice": 2.0, "eligibility": 4.0, "batch_tally": 5.0}
# Proofs a minute of rapidsnark with 4 workers on two cores, as the project's founders measured it (with circuits of
# 738, 13.7k and 65k constraints): it is not in the package registries, so it cannot run here.
RAPIDSNARK = {"voice": 2482, "eligibility": 211, "batch_tally": 51}
HTTP_REQUESTS = 300


def resident_megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pids: list[int]) -> float:
    """Processor time of our own children that have ended, and of these processes."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = ended.ru_utime + ended.ru_stime
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def run(provers: list, prove: Callable, seconds: float) -> dict[str, float]:
    """Let each prover prove until the time is over; return proofs a minute, median latency, processor time a proof."""
    pids = [prover.process.pid for prover in provers if getattr(prover, "process", None)]
    used = cpu_seconds(pids)
    started = time.perf_counter()

    def work(prover) -> list[tuple[float, float]]:
        done = []
        while not done or time.perf_counter() - started < seconds:
            begun = time.perf_counter()
            prove(prover)
            done.append((time.perf_counter() - begun, time.perf_counter() - started))
        return done

    with ThreadPoolExecutor(len(provers)) as pool:
        results = [one for many in pool.map(work, provers) for one in many]
    elapsed = max(end for _, end in results)
    return {
        "rate": 60 * len(results) / elapsed,
        "latency": median(latency for latency, _ in results),
        "cpu": (cpu_seconds(pids) - used) / len(results),
    }


def measure_provers() -> tuple[list[dict], dict[str, float]]:
    from django.conf import settings

    from zk.inputs import KINDS
    from zk.prover.native import NativeProver
    from zk.prover.snarkjs import SnarkjsProver
    from zk.registry import find_circuit
    from zk.tests.inputs import MAKERS

    rows, memory = [], {}
    snarkjs = SnarkjsProver(node_modules=Path(settings.ZK_NODE_MODULES))
    for name, seconds in WINDOW_SECONDS.items():
        circuit = find_circuit(name)
        files = circuit.files(for_proving=True)
        inputs = KINDS[name].read(MAKERS[name]())

        def prove(prover, files=files, inputs=inputs):
            return prover.prove(files, inputs, timeout_seconds=300)

        natives = [NativeProver() for _ in range(max(WORKERS))]
        try:
            with ThreadPoolExecutor(len(natives)) as pool:
                list(pool.map(prove, natives))
            for workers in WORKERS:
                found = run(natives[:workers], prove, seconds)
                rows.append({"circuit": name, "prover": "groth16py", "workers": workers, **found})
            memory[name] = max(resident_megabytes(native.process.pid) for native in natives)
        finally:
            for native in natives:
                native.close()
        for workers in (1, 4):
            found = run([snarkjs] * workers, prove, seconds if name != "batch_tally" else 0)
            rows.append({"circuit": name, "prover": "snarkjs", "workers": workers, **found})
        print(name, "measured", flush=True)
    return rows, memory


def call(application, path: str, body: bytes, authorization: str) -> tuple[int, float, float]:
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_AUTHORIZATION": authorization,
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    status = []
    used, started = time.process_time(), time.perf_counter()
    response = application(environ, lambda line, headers, exc=None: status.append(int(line.split()[0])))
    for _ in response:
        pass
    response.close()
    return status[0], time.perf_counter() - started, time.process_time() - used


def measure_http() -> dict[str, tuple[int, float, float, float]]:
    """Return status, p50, p95 and our own median processor time (ms) of cache hits, refusals and verifications."""
    from django.core.cache import cache
    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application

    call_command("migrate", verbosity=0)
    from accounts.tests.factories import UserFactory, bearer
    from zk.inputs import KINDS
    from zk.registry import find_circuit
    from zk.services import get_prover
    from zk.services.proving import digest_of
    from zk.tests.inputs import MAKERS

    application = get_wsgi_application()
    authorization = bearer(UserFactory())["Authorization"]
    found = {}
    for name in WINDOW_SECONDS:
        circuit = find_circuit(name)
        value = MAKERS[name]()
        inputs = KINDS[name].read(value)
        made = get_prover().prove(circuit.files(for_proving=True), inputs, timeout_seconds=300)
        content = json.dumps({"proof": made.proof, "pubSignals": made.public_signals})
        cache.set(f"zk:proof:{digest_of(circuit, inputs)}", content, 600)
        refused = dict(value) | {"election" if "election" in value else "scope": "-1"}
        shown = {"proof": made.proof, "pubSignals": made.public_signals}
        address = f"/api/zk/{name}"
        for kind, path, body in (
            ("cache hit", address, value),
            ("refused", address, refused),
            ("verified", f"{address}/verify", shown),
        ):
            payload = json.dumps(body).encode()
            answers = [call(application, path, payload, authorization) for _ in range(HTTP_REQUESTS)]
            times = [1000 * seconds for _, seconds, _ in answers[20:]]
            used = [1000 * seconds for _, _, seconds in answers[20:]]
            [status] = {status for status, _, _ in answers}
            found[f"{name}, {kind}"] = (status, median(times), quantiles(times, n=20)[-1], median(used))
    get_prover().close()
    return found


def write_report(rows: list[dict], memory: dict[str, float], http: dict[str, tuple[int, float, float, float]]) -> None:
    from zk.registry import find_circuit

    rates = {(row["circuit"], row["prover"], row["workers"]): row for row in rows}
    lines = [
        "# Proofs (`make bench-zk`)",
        "",
        f"{os.cpu_count()} cores; proofs a minute (median latency in seconds).",
        "",
    ]
    heads = [f"{n} worker{'s' if n > 1 else ''}" for n in WORKERS]
    lines += [f"| circuit | constraints | prover | {' | '.join(heads)} | processor s a proof | MB a worker |"]
    lines += ["|---|---|---|" + "---|" * (len(WORKERS) + 2)]
    for name in WINDOW_SECONDS:
        for prover in ("groth16py", "snarkjs"):
            cells = []
            for workers in WORKERS:
                row = rates.get((name, prover, workers))
                cells.append(f"{row['rate']:,.0f} ({row['latency']:.2f})" if row else "")
            used = f"{memory[name]:.0f}" if prover == "groth16py" else ""
            size, cpu = find_circuit(name).n_constraints, rates[name, prover, 1]["cpu"]
            lines.append(f"| {name} | {size:,} | {prover} | {' | '.join(cells)} | {cpu:.3f} | {used} |")
    lines += [
        "",
        "| circuit, 4 workers | × snarkjs (goal 5 on eligibility) | × rapidsnark's figure (goal 0.75) |",
    ]
    lines += ["|---|---|---|"]
    for name in WINDOW_SECONDS:
        ours = rates[name, "groth16py", 4]["rate"]
        lines.append(f"| {name} | {ours / rates[name, 'snarkjs', 4]['rate']:.1f} | {ours / RAPIDSNARK[name]:.2f} |")
    lines += ["", "Through the whole application, milliseconds (goals: cache hit p95 ≤ 15, refusal < 5):", ""]
    lines += ["| request | status | p50 | p95 | processor p50 |", "|---|---|---|---|---|"]
    lines += [
        f"| {name} | {status} | {p50:.1f} | {p95:.1f} | {used:.1f} |" for name, (status, p50, p95, used) in http.items()
    ]
    text = "\n".join([*lines, ""])
    REPORT.mkdir(exist_ok=True)
    (REPORT / "zk.md").write_text(text)
    print(text)

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, panes = pyplot.subplots(1, 3, figsize=(9, 3))
    for name, pane in zip(WINDOW_SECONDS, panes, strict=True):
        for prover, colour in (("groth16py", "#2563eb"), ("snarkjs", "#94a3b8")):
            points = [(n, rates[name, prover, n]["rate"]) for n in WORKERS if (name, prover, n) in rates]
            pane.plot(*zip(*points, strict=True), marker="o", color=colour, label=prover)
        pane.axhline(RAPIDSNARK[name], color="#dc2626", linestyle="--", label="rapidsnark, 4 workers")
        pane.set_title(name)
        pane.set_xlabel("workers")
        pane.set_xticks(WORKERS)
        pane.set_ylim(bottom=0)
    panes[0].set_ylabel("proofs a minute")
    panes[0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(REPORT / "zk.png", dpi=80)


def main() -> None:
    from loadtest.ground import measured_services

    with measured_services(RATE_LIMIT="1000000/60", LOG_LEVEL="CRITICAL"):
        import django

        django.setup()
        logging.disable(logging.CRITICAL)
        http = measure_http()
        rows, memory = measure_provers()
        write_report(rows, memory, http)


if __name__ == "__main__":
    main()
