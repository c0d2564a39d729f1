"""Measures what a JWT costs a request. Run by `make bench-auth`.

One process calls the whole WSGI application, middleware included, in turns: the same small DRF view without
authentication, with a JWT, with a JWT behind the admin API's middleware, and with a browser's session. Server and
network are left out, so nothing hides the cost. A second table says what signing and verifying cost by kind of key.
"""

import secrets
import sys
import time
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

REPORT = Path(__file__).parent / "report"
ROUNDS, BLOCK = 30, 40


def environ(path: str, **headers: str) -> dict[str, Any]:
    return {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **headers,
    }


def call(application: Any, path: str, headers: dict[str, str]) -> float:
    statuses: list[str] = []
    started = time.perf_counter()
    body = application(environ(path, **headers), lambda status, _headers, _error=None: statuses.append(status))
    b"".join(body)
    elapsed = time.perf_counter() - started
    body.close()
    assert statuses[0].startswith("200"), (path, statuses)
    return elapsed


def build_urls() -> list[Any]:
    from django.urls import path
    from rest_framework.permissions import AllowAny
    from rest_framework.response import Response
    from rest_framework.views import APIView

    class OpenView(APIView):
        authentication_classes = ()
        permission_classes = (AllowAny,)

        def get(self, request: Any) -> Response:
            return Response({"answer": 42})

    class ClosedView(APIView):
        def get(self, request: Any) -> Response:
            return Response({"answer": 42})

    return [
        path("open", OpenView.as_view()),
        path("closed", ClosedView.as_view()),
        path("admin/closed", ClosedView.as_view()),
    ]


def measure_requests() -> dict[str, list[float]]:
    from datetime import timedelta

    from django.core.management import call_command
    from django.core.wsgi import get_wsgi_application
    from django.test import Client
    from django.utils import timezone

    from accounts.models import Role, SignIn, User
    from accounts.services import issue_access_token

    call_command("migrate", verbosity=0)
    user = User.objects.create(email="bench@example.org", role=Role.ADMIN)
    sign_in = SignIn.objects.create(
        user=user, method=SignIn.Method.PASSWORD, expires_at=timezone.now() + timedelta(hours=1)
    )
    bearer = {"HTTP_AUTHORIZATION": f"Bearer {issue_access_token(user=user, sign_in=sign_in)}"}
    client = Client()
    client.force_login(user)
    session = client.session
    session["sign_in"] = str(sign_in.pk)
    session.save()
    application = get_wsgi_application()
    cases = {
        "none": ("/open", {}),
        "JWT": ("/closed", bearer),
        "JWT, admin API": ("/admin/closed", bearer),
        "session": ("/closed", {"HTTP_COOKIE": f"sessionid={session.session_key}"}),
    }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(ROUNDS + 2):
        for name, (path, headers) in cases.items():
            taken = [call(application, path, headers) for _ in range(BLOCK)]
            if turn >= 2:
                times[name] += taken
    return times


def measure_keys() -> list[tuple[str, float, float]]:
    """Time signing and verifying of the same claims, in microseconds, by kind of key."""
    import jwt
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    claims = {"sub": secrets.token_hex(16), "jti": secrets.token_hex(16), "exp": int(time.time()) + 600, "admin": True}
    keys = {
        "EdDSA": ed25519.Ed25519PrivateKey.generate(),
        "ES256": ec.generate_private_key(ec.SECP256R1()),
        "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }
    found = []
    for algorithm, key in keys.items():
        signing, verifying, public = [], [], key.public_key()
        for _ in range(300):
            started = time.perf_counter()
            token = jwt.encode(claims, key, algorithm)
            signed = time.perf_counter()
            jwt.decode(token, public, algorithms=[algorithm])
            signing.append(signed - started)
            verifying.append(time.perf_counter() - signed)
        found.append((algorithm, median(signing) * 1e6, median(verifying) * 1e6))
    return found


def plot(times: dict[str, list[float]]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.2))
    axes.barh(list(times), [1 / median(values) for values in times.values()], color="#6d28d9")
    axes.invert_yaxis()
    axes.set_xlabel("requests per second, one process, without server and network")
    figure.tight_layout()
    figure.savefig(REPORT / "auth.png", dpi=110)


def report(times: dict[str, list[float]], keys: list[tuple[str, float, float]]) -> str:
    base = median(times["none"])
    lines = [
        "# What authentication costs",
        "",
        f"`make bench-auth`: {ROUNDS * BLOCK} requests of each kind in turns, one process, whole middleware, "
        "a DRF view that answers at once.",
        "",
        "| credentials | requests/s | p50 ms | p99 ms | more than none, ms | share of none |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in times.items():
        middle, high = median(values), sorted(values)[int(len(values) * 0.99)]
        lines.append(
            f"| {name} | {1 / middle:,.0f} | {middle * 1e3:.2f} | {high * 1e3:.2f} | {(middle - base) * 1e3:.2f} "
            f"| {base / middle:.0%} |"
        )
    lines += ["", "| key | sign µs | verify µs |", "|---|---|---|"]
    lines += [f"| {name} | {sign:.0f} | {verify:.0f} |" for name, sign, verify in keys]
    lines += [
        "",
        "A JWT costs one signature and one query: user, sign-in and revocation are read together, so that a change "
        "of role or a revocation holds at once. A session costs three.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    from loadtest.ground import measured_services

    with measured_services(RATE_LIMIT_BYPASS_CIDRS="127.0.0.1/32", LOG_LEVEL="ERROR"):
        import django

        django.setup()
        from django.conf import settings

        global urlpatterns
        urlpatterns = build_urls()
        settings.ROOT_URLCONF = "loadtest.bench_auth"
        sys.modules["loadtest.bench_auth"] = sys.modules[__name__]
        times, keys = measure_requests(), measure_keys()
    REPORT.mkdir(exist_ok=True)
    text = report(times, keys)
    (REPORT / "auth.md").write_text(text)
    plot(times)
    print(text)


if __name__ == "__main__":
    main()
