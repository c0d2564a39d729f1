"""The public pages: a board of elections, and one page for each."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe
from rest_framework.exceptions import APIException, ValidationError

from elections.hot_reads import Body, choose_encoding, hot_reads
from elections.models import Election, Status
from elections.projection import finality_of
from elections.selectors import get_election, get_latest_head, list_elections
from elections.services.publishing import LISTS, topic_of

PER_SECTION = 12
PER_PAGE = 24
# A kept page shows the height of the chain, which moves without any election changing.
PAGE_SECONDS = 2
FINALITY_WORDS = {
    "latest": ("Latest block", "Seen in the newest blocks; a reorganisation could still take it back."),
    "safe": ("Safe", "Unlikely to be reorganised."),
    "finalized": ("Finalized", "Can no longer be changed."),
}
FACT_WORDS = {
    "created": "Created",
    "census_root_set": "Census published",
    "last_vote": "Last vote",
    "tally": "Tally published",
    "cancelled": "Cancelled",
}
SECTIONS = [
    ("Open now", "ends", [Status.OPEN], "No election is open at this block."),
    ("Coming up", "ends", [Status.PENDING], "Nothing is announced."),
    ("Ended", "-ends", [Status.CLOSED, Status.TALLIED, Status.CANCELLED], "No election has ended yet."),
]


@dataclass(frozen=True, slots=True)
class Bar:
    """One option's votes; `width` is its share of all votes in percent."""

    option: int
    label: str
    votes: str
    share: str
    width: str
    is_leading: bool


@dataclass(frozen=True, slots=True)
class Card:
    """An election as a page shows it."""

    election: Election
    title: str
    bars: list[Bar]
    turnout: str
    phrase: str
    moment: datetime | None
    moment_block: int | None
    finality: str
    finality_meaning: str

    @property
    def is_live(self) -> bool:
        return self.election.status in (Status.OPEN, Status.PENDING)


@require_safe
@csrf_exempt
def board(request: HttpRequest) -> HttpResponse:
    """Show elections: open ones first, or those of one status by pages."""
    status = request.GET.get("status")
    if status is None and "cursor" not in request.GET:
        body = hot_reads.get(
            "page:board",
            topic=LISTS,
            build=lambda: board_body(request),
            is_shared=False,
            max_age_seconds=PAGE_SECONDS,
        )
        return serve(request, body)
    try:
        page = list_elections(status=status, limit=PER_PAGE, cursor=request.GET.get("cursor", ""))
    except ValidationError:
        return show(request, "elections/missing.html", {"what": "There is no such list of elections."}, status=404)
    heading = Status(status).label if status else "All elections"
    section = {"heading": heading, "cards": [make_card(one) for one in page.elections], "empty": "None at this time."}
    context = {
        "sections": [section],
        "chosen": status or "all",
        "next_cursor": page.next_cursor,
        "previous_cursor": page.previous_cursor,
    }
    return show(request, "elections/board.html", context)


def board_body(request: HttpRequest) -> bytes:
    """Render the board: nothing on it depends on who asks."""
    sections = []
    for heading, ordering, statuses, empty in SECTIONS:
        found: list[Election] = []
        for one in statuses:
            found += list_elections(status=one, ordering=ordering, limit=PER_SECTION).elections
        found.sort(key=lambda election: election.end_block, reverse=ordering.startswith("-"))
        cards = [make_card(election) for election in found[:PER_SECTION]]
        sections.append({"heading": heading, "cards": cards, "empty": empty})
    return render_bytes(request, "elections/board.html", {"sections": sections, "chosen": ""})


@require_safe
@csrf_exempt
def election(request: HttpRequest, id: str) -> HttpResponse:  # noqa: A002
    """Show one election: its question, its result so far, and where on the chain each fact stands."""
    try:
        body = hot_reads.get(
            f"page:{id}",
            topic=topic_of(id),
            build=lambda: election_body(request, id),
            is_shared=False,
            max_age_seconds=PAGE_SECONDS,
        )
    except APIException:
        return show(request, "elections/missing.html", {"what": "There is no election at this address."}, status=404)
    return serve(request, body)


def election_body(request: HttpRequest, public_id: str) -> bytes:
    """Render the page of one election; raises as `get_election`."""
    found = get_election(public_id=public_id)
    head = found.head
    facts = [
        {
            "name": FACT_WORDS[kind],
            "block": grouped(fact["block_number"]),
            "time": datetime.fromtimestamp(fact["block_timestamp"], timezone.get_current_timezone()),
            "tx_hash": fact["tx_hash"],
            "finality": FINALITY_WORDS[
                finality_of(
                    fact["block_number"],
                    safe_block=head.safe_block if head else -1,
                    finalized_block=head.finalized_block if head else -1,
                )
            ][0],
        }
        for kind in FACT_WORDS
        if (fact := found.facts.get(kind))
    ]
    card = make_card(found)
    context = {
        "card": card,
        "remaining": grouped(max(0, card.moment_block - head.number)) if head and card.moment_block else "–",
        "facts": facts,
        "start_block": grouped(found.start_block),
        "end_block": grouped(found.end_block),
        "metadata_hash": f"0x{bytes(found.metadata_hash).hex()}",
        "census_root": None if found.census_root is None else f"0x{found.census_root:064x}",
    }
    return render_bytes(request, "elections/election.html", context)


def render_bytes(request: HttpRequest, template: str, context: dict[str, Any]) -> bytes:
    head = get_latest_head()
    block = {"number": grouped(head.number), "chain_id": head.chain_id} if head else None
    return render_to_string(template, {"block": block, **context}, request).encode()


def show(request: HttpRequest, template: str, context: dict[str, Any], status: int = 200) -> HttpResponse:
    response = HttpResponse(render_bytes(request, template, context), status=status)
    response.headers["Cache-Control"] = "no-cache"
    return response


def serve(request: HttpRequest, body: Body) -> HttpResponse:
    """Answer with a kept page, compressed when the reader takes it."""
    encoding = choose_encoding(request.META.get("HTTP_ACCEPT_ENCODING", ""))
    response = HttpResponse(body.encoded(encoding))
    if encoding:
        response.headers["Content-Encoding"] = encoding
    response.headers["Cache-Control"] = "no-cache"
    response.headers["Vary"] = "Accept-Encoding"
    return response


def make_card(election: Election) -> Card:
    """Work out what a page says about an election."""
    counts = [int(count) for count in (election.votes if election.totals is None else election.totals)]
    labels = election.document["options"] if election.document else []
    total, leading = sum(counts), max(counts, default=0)
    bars = [
        Bar(
            option=number,
            label=labels[number] if number < len(labels) else f"Option {number + 1}",
            votes=grouped(votes),
            share=f"{100 * votes / total:.1f}" if total else "0.0",
            width=f"{100 * votes / total:.3f}" if total else "0",
            is_leading=votes == leading > 0,
        )
        for number, votes in enumerate(counts)
    ]
    phrase, moment, block = timing(election)
    word, meaning = FINALITY_WORDS[election.finality]
    title = election.document["title"] if election.document else f"Election {election.election_id}"
    return Card(election, title, bars, grouped(total), phrase, moment, block, word, meaning)


def timing(election: Election) -> tuple[str, datetime | None, int | None]:
    """Return what comes next or came last, when, and at which block."""
    if election.status == Status.PENDING:
        return "Opens", election.starts_at, election.start_block
    if election.status == Status.OPEN:
        return "Closes", election.ends_at, election.end_block
    if election.status == Status.CANCELLED:
        fact = election.facts["cancelled"]
        when = datetime.fromtimestamp(fact["block_timestamp"], timezone.get_current_timezone())
        return "Cancelled", when, fact["block_number"]
    return "Closed", election.ends_at, election.end_block


def grouped(number: int) -> str:
    """Write a number with commas between thousands."""
    return f"{int(number):,}"
