"""Where the time of one request goes, layer by layer: the WSGI application with ever more middleware."""

import os
import sys
import time
from io import BytesIO
from statistics import median

ROUNDS, REQUESTS = 9, 400


def environ(path: str, **headers: str) -> dict:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "HTTP_ACCEPT": "*/*",
        "HTTP_ACCEPT_ENCODING": "gzip",
        "REMOTE_ADDR": "192.0.2.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    } | headers


def call(application, path: str) -> int:
    statuses: list[str] = []
    response = application(environ(path), lambda status, headers: statuses.append(status))
    b"".join(response)
    response.close()
    return int(statuses[0][:3])


def measure(path: str) -> list[tuple[str, float]]:
    """Return each layer and the microseconds that a request takes with it and those inside of it."""
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler

    everything = list(settings.MIDDLEWARE)
    layers, name = [], ""
    for start in range(len(everything), -1, -1):
        settings.MIDDLEWARE = everything[start:]
        name += "the view and Django's handler" if start == len(everything) else everything[start].rpartition(".")[2]
        application = WSGIHandler()
        # Some middleware needs what another outside of it does: these count together.
        if call(application, path) == 200:
            layers.append((name, application))
            name = ""
        else:
            name += " + "
    settings.MIDDLEWARE = everything
    times: dict[str, list[float]] = {name: [] for name, _ in layers}
    for _, application in layers:
        assert call(application, path) == 200, path
    # In turns, so that a slow moment of the machine falls on all of them.
    for _ in range(ROUNDS):
        for name, application in layers:
            started = time.perf_counter()
            for _ in range(REQUESTS):
                call(application, path)
            times[name].append((time.perf_counter() - started) / REQUESTS * 1e6)
    return [(name, median(found)) for name, found in times.items()]


def child(*paths: str) -> None:
    import django

    django.setup()
    from config.wsgi import application  # noqa: F401  (freezes what is loaded, as the server does)

    for path in paths:
        before = 0.0
        print(f"\n`GET {path}`\n\n| layer | adds, µs | sum, µs |\n|---|---|---|")
        for name, total in measure(path):
            print(f"| {name} | {total - before:.0f} | {total:.0f} |")
            before = total


def main() -> None:
    import subprocess

    from loadtest.stack import measured_stack, public_id

    with measured_stack(100) as stack:
        command = [
            sys.executable,
            "-m",
            "loadtest.profile_request",
            "child",
            "/elections",
            f"/elections/{public_id(5)}",
        ]
        subprocess.run(command, env=stack.environment | {"PYTHONPATH": "."}, check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings.local")
        child(*sys.argv[2:])
    else:
        main()
