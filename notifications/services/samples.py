"""Sample payloads: staff see and try templates with them, tests render every one."""

from datetime import UTC, datetime
from typing import Any

from notifications.models import Event

SAMPLE_ELECTION = "31337-5fbdb231-7"


def sample_payload(event: str) -> dict[str, Any]:
    """Make what a notification of this event carries."""
    if event == Event.CONFIRMATION:
        return {"code": "042817", "minutes": 15}
    return {
        "title": "Green spaces: where should the new park go?",
        "options": ["By the river", "On the old railway yard", "Nowhere: plant street trees instead"],
        "totals": ["10482", "8911", "1207"] if event == Event.TALLIED else None,
        "turnout": "20600" if event != Event.CREATED else "0",
        "starts_at": datetime(2026, 11, 30, 7, 0, tzinfo=UTC).isoformat(),
        "ends_at": datetime(2026, 12, 6, 19, 0, tzinfo=UTC).isoformat(),
    }
