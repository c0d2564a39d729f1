"""Renders a notification in the reader's language and time zone."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.template.backends.django import DjangoTemplates
from django.utils import formats, timezone, translation
from django.utils.translation import gettext

from notifications.exceptions import TemplateIncomplete
from notifications.models import Channel, Event, Notification
from notifications.services.subscribing import unsubscribe_token

MAX_SUBJECT = 150
MAX_TITLE = 200
MAX_SMS_TITLE = 60
THOUSANDS = {"en": ",", "bg": "\u00a0"}
DECIMAL = {"en": ".", "bg": ","}
PERCENT = {"en": "%", "bg": "\u00a0%"}
DAY_FORMAT = {"en": "j F Y", "bg": r"j F Y \г."}
CLOCK_FORMAT = {"en": "H:i", "bg": "H:i\u00a0\\ч."}


GSM_7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà^{}\\[~]|€"
)
PLAINER = str.maketrans(
    {"…": "...", "‘": "'", "’": "'", "“": '"', "”": '"', "„": '"', "–": "-", "—": "-", "\u00a0": " "}
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A message ready to be sent; an SMS has only `text`."""

    subject: str
    text: str
    html: str
    unsubscribe_url: str


class Loud(str):
    """What Django puts where a variable is missing: raises instead of leaving a gap in a voter's mail."""

    def __mod__(self, name: object) -> str:
        raise TemplateIncomplete(str(name))

    def __contains__(self, item: object) -> bool:
        return item == "%s" or super().__contains__(str(item))


@cache
def engine() -> DjangoTemplates:
    return DjangoTemplates(
        {
            "NAME": "notifications",
            "DIRS": [settings.BASE_DIR / "notifications" / "templates"],
            "APP_DIRS": False,
            "OPTIONS": {"string_if_invalid": Loud("%s"), "builtins": ["django.templatetags.i18n"]},
        }
    )


def render(notification: Notification) -> Rendered:
    """Render a notification from its payload. Raises TemplateIncomplete when a template names what is not there."""
    with translation.override(notification.language), timezone.override(ZoneInfo(notification.time_zone)):
        event = event_of(notification)
        context = context_of(notification)
        if notification.channel == Channel.SMS:
            context["title"] = shortened(context["title"], MAX_SMS_TITLE)
            text = f"{context['test_note']} {from_template(f'{event}.sms.txt', context)}"
            return Rendered("", plain_if_enough(" ".join(text.split())), "", context["unsubscribe_url"])
        subject = shortened(single_line(from_template(f"{event}.subject.txt", context)), MAX_SUBJECT)
        context["subject"] = subject
        text = from_template(f"{event}.txt", context).strip() + "\n"
        html = from_template(f"{event}.html", context)
        return Rendered(subject, text, html, context["unsubscribe_url"])


def event_of(notification: Notification) -> str:
    """Name the event whose templates are used: a test message is a sample of another one."""
    if notification.event == Event.TEST:
        return str(notification.payload.get("sample_of", Event.CREATED))
    return str(notification.event)


def from_template(name: str, context: Mapping[str, Any]) -> str:
    return str(engine().get_template(f"notifications/{name}").render(dict(context)))


def context_of(notification: Notification) -> dict[str, Any]:
    """Build what templates may name, every number and date already in the reader's form."""
    payload = notification.payload
    base = settings.PUBLIC_URL.rstrip("/")
    unsubscribe_url = ""
    event = event_of(notification)
    if notification.user_id and event != Event.CONFIRMATION:
        token = unsubscribe_token(user_id=notification.user_id, channel=notification.channel)
        unsubscribe_url = f"{base}/notifications/unsubscribe/{token}"
    context: dict[str, Any] = {
        "language": notification.language,
        "time_zone": notification.time_zone,
        "site_url": base,
        "unsubscribe_url": unsubscribe_url,
        "title": "",
        "test_note": note_of_test(event) if notification.event == Event.TEST else "",
    }
    if event == Event.CONFIRMATION:
        return context | {name: payload[name] for name in ("code", "minutes") if name in payload}
    try:
        options = [single_line(option) or unnamed_option(index) for index, option in enumerate(payload["options"])]
        totals = payload["totals"]
        context |= {
            "title": shortened(single_line(payload["title"]) or unnamed_election(notification), MAX_TITLE),
            "election_url": f"{base}/e/{notification.election}",
            "options": options,
            "turnout": number(int(payload["turnout"])),
            "starts_at": moment(payload["starts_at"]),
            "ends_at": moment(payload["ends_at"]),
        }
        if event == Event.TALLIED:
            context |= tally_of(options, [int(total) for total in totals])
    except (KeyError, TypeError, ValueError) as error:
        raise TemplateIncomplete(str(error)) from error
    return context


def note_of_test(event: str) -> str:
    """Say that what follows is no real message."""
    if event == Event.CONFIRMATION:
        return gettext("This is a test. The code confirms nothing.")
    return gettext("This is a test. The election below is an example.")


def unnamed_election(notification: Notification) -> str:
    """Name an election whose document nobody has brought yet."""
    return gettext("Election %(number)s") % {"number": notification.election.rpartition("-")[2]}


def unnamed_option(index: int) -> str:
    return gettext("Option %(number)s") % {"number": index + 1}


def tally_of(options: list[str], totals: list[int]) -> dict[str, Any]:
    """Order a tally by votes; `leaders` are the options with the most of them, more than one in a tie."""
    total = sum(totals)
    rows = [
        {
            "option": option,
            "votes": number(votes),
            "percent": percent(votes, total),
            "width": round(100 * votes / total) if total else 0,
            "count": votes,
        }
        for option, votes in zip(options, totals, strict=True)
    ]
    rows.sort(key=lambda row: -int(str(row["count"])))
    top = max(totals, default=0)
    leaders = [row["option"] for row in rows if row["count"] == top and top > 0]
    return {
        "rows": rows,
        "votes_counted": number(total),
        "leaders": leaders,
        "leaders_text": shortened(", ".join(str(leader) for leader in leaders), MAX_SMS_TITLE),
    }


def number(value: int) -> str:
    """Group thousands as the language does (Django's Bulgarian formats do not)."""
    return f"{value:,}".replace(",", THOUSANDS[translation.get_language() or "en"])


def percent(part: int, whole: int) -> str:
    text = f"{100 * part / whole if whole else 0:.1f}"
    language = translation.get_language() or "en"
    return text.replace(".", DECIMAL[language]) + PERCENT[language]


def moment(text: str | None) -> str:
    """Write a time in the reader's zone and language; an empty text when it is not known."""
    if not text:
        return ""
    local = timezone.localtime(datetime.fromisoformat(text))
    language = translation.get_language() or "en"
    day = formats.date_format(local, DAY_FORMAT[language])
    # Bulgarian months are written small; Django's are not.
    day = day.lower() if language == "bg" else day
    clock = formats.date_format(local, CLOCK_FORMAT[language])
    return f"{day}, {clock}\u00a0{local.tzname()}"


def single_line(text: str) -> str:
    """Make a foreign text harmless in a subject: one line, no control or direction-changing characters."""
    kept = "".join(" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in str(text))
    kept = "".join(c for c in kept if unicodedata.category(c) not in {"Cf", "Cs", "Co"} or c in "\u200d\u200c")
    return re.sub(r"\s+", " ", kept).strip()


def plain_if_enough(text: str) -> str:
    """Write an SMS with plain quotes, dashes and dots where that lets it go as GSM-7 (3GPP TS 23.038).

    One character outside of that alphabet makes all of it UCS-2: 67 characters a segment in place of 153.
    """
    plain = text.translate(PLAINER)
    return plain if set(plain) <= GSM_7 else text


def shortened(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
