"""Health and readiness probes."""

from django.http import HttpRequest, HttpResponse, JsonResponse

from config.health import readiness


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that the process lives; touches nothing else."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer whether the process can serve: 200 when every needed part answers, else 503, each part named."""
    report = readiness()
    return JsonResponse(report, status=503 if report["status"] == "unavailable" else 200)
