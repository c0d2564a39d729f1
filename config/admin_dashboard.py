"""The first page of the staff's admin: elections, chain, queue, request rate and the newest audit entries."""

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count
from django.db.models.functions import TruncHour
from django.http import HttpRequest
from django.utils import timezone

from accounts.services import read_admin_metrics
from audit.admin_base import names_of, shorten
from audit.models import Entry
from audit.selectors import name_people
from config.admin_metrics import request_rates
from elections.models import ChainHead, Election, Status

COLOUR = "#7c3aed"
GREY = "#7d8592"
SHOWN_ENTRIES = 12
# The theme's own options hide the vertical scale, without which a chart says little.
CHART_OPTIONS = json.dumps(
    {
        "animation": False,
        "maintainAspectRatio": False,
        "plugins": {"legend": {"display": False}},
        "elements": {"point": {"radius": 2}, "line": {"tension": 0}},
        "datasets": {"bar": {"maxBarThickness": 40, "borderRadius": 4}},
        "scales": {
            # A grey that reads on white and on black: the theme does not tell the charts which it is.
            "x": {"grid": {"display": False}, "ticks": {"color": GREY}},
            "y": {"beginAtZero": True, "suggestedMax": 4, "ticks": {"precision": 0, "color": GREY}},
        },
    }
)


def chart(labels: list[str], values: list[Any], label: str) -> str:
    """Build a chart's data in the shape that the theme's script reads."""
    return json.dumps(
        {
            "labels": labels,
            "datasets": [{"label": label, "data": values, "backgroundColor": COLOUR, "borderColor": COLOUR}],
        }
    )


def elections_chart() -> tuple[int, str]:
    rows = Election.objects.visible().values_list("status").annotate(number=Count("pk")).order_by()
    counts = Counter(dict(rows))
    return sum(counts.values()), chart(
        [str(status.label) for status in Status], [counts[status.value] for status in Status], "elections"
    )


def queue_chart(queues: dict[str, Any]) -> str:
    waiting = queues.get("waiting", {})
    return chart(list(waiting), list(waiting.values()), "waiting")


def rate_chart() -> str:
    rates = request_rates()[-60:]
    labels = [f"{datetime.fromtimestamp(at, tz=UTC):%H:%M:%S}" for at, _ in rates]
    return chart(labels, [round(rate, 2) for _, rate in rates], "requests per second")


def audit_chart() -> str:
    """Count audit entries of the last day by hour."""
    now = timezone.now()
    recent = Entry.objects.filter(created_at__gte=now - timedelta(hours=24))
    counts = dict(recent.annotate(hour=TruncHour("created_at")).values_list("hour").annotate(Count("pk")).order_by())
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=23)
    hours = [first + timedelta(hours=number) for number in range(24)]
    return chart([hour.strftime("%H:00") for hour in hours], [counts.get(hour, 0) for hour in hours], "entries")


def newest_entries() -> list[dict[str, Any]]:
    """List the newest entries for a reader: people by e-mail, identifiers short."""
    entries = list(Entry.objects.order_by("-id")[:SHOWN_ENTRIES])
    people = name_people([entry.actor for entry in entries])
    return [
        {"row": entry, "actor": names_of(people, entry.actor), "target": shorten(entry.target)} for entry in entries
    ]


def fill_dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Add the dashboard's figures and charts to the index page's context."""
    figures = read_admin_metrics()
    total, by_status = elections_chart()
    context |= {
        "figures": figures,
        "chart_options": CHART_OPTIONS,
        "heads": list(ChainHead.objects.order_by("chain_id")),
        "elections_total": total,
        "elections_chart": by_status,
        "queue_chart": queue_chart(figures["queues"]),
        "rate_chart": rate_chart(),
        "audit_chart": audit_chart(),
        "audit_entries": newest_entries(),
        "title": "Dashboard",
    }
    return context
