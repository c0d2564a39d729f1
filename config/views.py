"""Health and readiness probes, and addresses of the API at which there is nothing."""

from typing import NoReturn

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from config.health import readiness


def healthz(request: HttpRequest) -> HttpResponse:
    """Answer that the process lives; touches nothing else."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer whether the process can serve: 200 when every needed part answers, else 503, each part named."""
    report = readiness()
    return JsonResponse(report, status=503 if report["status"] == "unavailable" else 200)


@csrf_exempt
def nothing(request: HttpRequest) -> NoReturn:
    """Answer that there is nothing at this address, to a program with a problem."""
    raise Http404
