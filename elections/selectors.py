"""Reads of elections: by id, and page by page along an index."""

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Q
from rest_framework.exceptions import ValidationError

from elections.exceptions import ElectionNotFound
from elections.metadata import is_document_of
from elections.models import PUBLIC_ID, ChainHead, Election, Metadata, Status

DEFAULT_LIMIT = MAX_LIMIT = 100
DEFAULT_ORDERING = "-created"
# Column of each ordering; the primary key breaks ties, and an index covers both.
ORDERINGS = {"created": "created_block", "ends": "end_block"}
ORDERING_CHOICES = [sign + name for name in ORDERINGS for sign in ("-", "")]


@dataclass(frozen=True, slots=True)
class Page:
    """Elections in order, and the cursors of the neighbouring pages (empty where there is none)."""

    elections: Sequence[Election]
    next_cursor: str
    previous_cursor: str


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two elections: the key of one, and on which side of it to read."""

    ordering: str
    is_backward: bool
    value: int
    pk: int

    def encode(self) -> str:
        packed = json.dumps([self.ordering, int(self.is_backward), str(self.value), self.pk], separators=(",", ":"))
        return base64.urlsafe_b64encode(packed.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """Read a cursor; raises ValueError for any that `encode` did not make."""
        try:
            packed = json.loads(base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4)))
            ordering, is_backward, value, pk = packed
            cursor = cls(ordering, bool(is_backward), int(value), int(pk))
        except (binascii.Error, TypeError, UnicodeError, RecursionError) as error:
            raise ValueError("not a cursor") from error
        if cursor.ordering not in ORDERING_CHOICES or not (0 <= cursor.value < 2**256 and 0 < cursor.pk < 2**63):
            raise ValueError("not a cursor")
        return cursor


def list_elections(
    *,
    status: str | None = None,
    ordering: str = DEFAULT_ORDERING,
    limit: int = DEFAULT_LIMIT,
    cursor: str = "",
) -> Page:
    """List visible elections by keyset: the cost of a page does not grow with what comes before it.

    Raises ValidationError, naming the parameter, for a value out of range or a cursor of another ordering.
    """
    if status is not None and status not in Status.values:
        raise ValidationError({"status": [f"Choose one of {', '.join(Status.values)}."]}, code="invalid_choice")
    if ordering not in ORDERING_CHOICES:
        raise ValidationError({"ordering": [f"Choose one of {', '.join(ORDERING_CHOICES)}."]}, code="invalid_choice")
    if not 1 <= limit <= MAX_LIMIT:
        raise ValidationError({"limit": [f"Ask for 1 to {MAX_LIMIT}."]}, code="out_of_range")
    place: Cursor | None = None
    if cursor:
        try:
            place = Cursor.decode(cursor)
        except ValueError:
            raise ValidationError({"cursor": ["This is no cursor of ours."]}, code="invalid_cursor") from None
        if place.ordering != ordering:
            raise ValidationError({"cursor": ["The cursor belongs to another ordering."]}, code="invalid_cursor")

    column = ORDERINGS[ordering.lstrip("-")]
    is_backward = place is not None and place.is_backward
    is_descending = ordering.startswith("-") != is_backward
    rows = Election.objects.visible()
    if status is not None:
        rows = rows.filter(status=status)
    if place is not None:
        side = "lt" if is_descending else "gt"
        beyond = Q(**{f"{column}__{side}": place.value}) | Q(**{column: place.value, f"pk__{side}": place.pk})
        # The first condition follows from the second; it lets the index start at the place.
        rows = rows.filter(**{f"{column}__{side}e": place.value}).filter(beyond)
    sign = "-" if is_descending else ""
    found = list(rows.order_by(f"{sign}{column}", f"{sign}pk")[: limit + 1])
    has_more, found = len(found) > limit, found[:limit]
    if is_backward:
        found.reverse()

    def at(election: Election, *, backward: bool) -> str:
        return Cursor(ordering, backward, getattr(election, column), election.pk).encode()

    has_next = bool(found) and (has_more or is_backward)
    has_previous = bool(found) and place is not None and (has_more or not is_backward)
    attach(found)
    return Page(
        found,
        next_cursor=at(found[-1], backward=False) if has_next else "",
        previous_cursor=at(found[0], backward=True) if has_previous else "",
    )


def get_election(*, public_id: str) -> Election:
    """Get one visible election with its metadata and head; raises ElectionNotFound, or ValidationError on no id."""
    if not PUBLIC_ID.fullmatch(public_id):
        raise ValidationError(
            {"id": ["An id is CHAIN-CONTRACT-NUMBER, such as 31337-5fbdb231-1."]}, code="malformed_id"
        )
    election = Election.objects.visible().filter(public_id=public_id).first()
    if election is None:
        raise ElectionNotFound
    attach([election])
    found: Election = election
    return found


def lock_election(*, public_id: str) -> Election:
    """Get one visible election and lock its row; raises as `get_election`."""
    get_election(public_id=public_id)
    locked: Election = Election.objects.select_for_update().get(public_id=public_id)
    return locked


def list_changed(*, since_revision: int, limit: int) -> Sequence[Election]:
    """List elections changed after a revision, oldest change first; withdrawn ones too."""
    found = list(Election.objects.filter(revision__gt=since_revision).order_by("revision", "pk")[:limit])
    attach(found)
    return found


def list_by_public_id(*, public_ids: Iterable[str]) -> Sequence[Election]:
    """List elections by their public ids, withdrawn ones too."""
    found = list(Election.objects.filter(public_id__in=list(public_ids)).order_by("pk"))
    attach(found)
    return found


def list_changed_ids(*, since_revision: int) -> Sequence[str]:
    """List the public ids of the elections changed after a revision."""
    return list(Election.objects.filter(revision__gt=since_revision).values_list("public_id", flat=True))


def get_revision() -> int:
    """Return the newest revision of any election, 0 when there is none."""
    newest = Election.objects.order_by("-revision").values_list("revision", flat=True).first()
    return newest or 0


def get_head(*, chain_id: int) -> ChainHead | None:
    """Return the chain's newest indexed block."""
    return ChainHead.objects.filter(pk=chain_id).first()


def get_latest_head() -> ChainHead | None:
    """Return the newest indexed block of the chain that moved last."""
    return ChainHead.objects.order_by("-timestamp").first()


def get_documents(*, hashes: Iterable[bytes]) -> dict[bytes, dict[str, Any]]:
    """Return the stored metadata under these hashes; what does not match its hash is left out."""
    wanted = {bytes(one) for one in hashes}
    found = Metadata.objects.filter(hash__in=wanted).values_list("hash", "document")
    return {bytes(key): document for key, document in found if is_document_of(document, metadata_hash=bytes(key))}


def is_metadata_referenced(*, metadata_hash: bytes) -> bool:
    """Tell whether any visible election names this metadata."""
    return bool(Election.objects.visible().filter(metadata_hash=metadata_hash).exists())


def attach(elections: Sequence[Election]) -> None:
    """Set each election's `document` and `head`, in two queries for all."""
    if not elections:
        return
    documents = get_documents(hashes=[bytes(election.metadata_hash) for election in elections])
    heads = ChainHead.objects.in_bulk({election.chain_id for election in elections})
    for election in elections:
        document = documents.get(bytes(election.metadata_hash))
        # Labels for other than the election's options would name the wrong ones.
        if document is not None and len(document["options"]) == election.options:
            election.document = document  # type: ignore[misc]
        election.head = heads.get(election.chain_id)  # type: ignore[misc]
