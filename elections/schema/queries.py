"""Reads of elections."""

from typing import Any

import graphene
from rest_framework.exceptions import ValidationError
from rest_framework.permissions import AllowAny

from audit.connections import DEFAULT_SIZE, page_of
from elections.models import Status as StatusChoices
from elections.schema.types import (
    ELECTION_ID,
    Election,
    ElectionConnection,
    ElectionData,
    ElectionOrdering,
    ElectionStatus,
    Tally,
    Turnout,
)
from elections.selectors import DEFAULT_ORDERING, ORDERINGS, Cursor, get_election, list_elections
from elections.serializers import ElectionSummarySerializer

PERMISSIONS = {"elections": AllowAny, "election": AllowAny, "tally": AllowAny, "turnout": AllowAny}
SCOPES = dict.fromkeys(PERMISSIONS, "elections:read")


class Query(graphene.ObjectType):
    elections = graphene.Field(
        ElectionConnection,
        required=True,
        description="Elections by pages.",
        status=ElectionStatus(description="Only those that stand so."),
        ordering=ElectionOrdering(description="NEWEST by default."),
        first=graphene.Int(description="1 to 100, 50 by default."),
        after=graphene.String(description="A cursor: elections after it."),
        last=graphene.Int(description="1 to 100: the ones just before `before`."),
        before=graphene.String(description="A cursor: elections before it."),
    )
    election = graphene.Field(Election, required=True, description="One election.", id=ELECTION_ID)
    tally = graphene.Field(Tally, required=True, description="An election's votes by option.", id=ELECTION_ID)
    turnout = graphene.Field(Turnout, required=True, description="How many voted in an election.", id=ELECTION_ID)

    @staticmethod
    def resolve_elections(
        root: Any,
        info: Any,
        status: Any = None,
        ordering: Any = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> dict[str, Any]:
        if (after and before) or (first is not None and last is not None) or (last is not None and not before):
            raise ValidationError({"first": ["Give first and after, or last and before."]}, code="mixed_directions")
        order = ordering.value if ordering else DEFAULT_ORDERING
        size = last if last is not None else first if first is not None else DEFAULT_SIZE
        page = list_elections(
            status=status.value if status else None,
            ordering=order,
            limit=size,
            cursor=turn(before, is_backward=True) if before else turn(after, is_backward=False) if after else "",
        )
        column = ORDERINGS[order.lstrip("-")]
        return page_of(
            nodes=[ElectionData(election) for election in page.elections],
            cursors=[Cursor(order, False, getattr(one, column), one.pk).encode() for one in page.elections],
            has_next=bool(page.next_cursor),
            has_previous=bool(page.previous_cursor),
        )

    @staticmethod
    def resolve_election(root: Any, info: Any, id: str) -> ElectionData:  # noqa: A002
        return ElectionData(get_election(public_id=id))

    @staticmethod
    def resolve_tally(root: Any, info: Any, id: str) -> dict[str, Any]:  # noqa: A002
        election = get_election(public_id=id)
        options = ElectionSummarySerializer(election).data["tally"]
        return {
            "is_published": election.totals is not None,
            "finality": election.finality,
            "total": sum(option["votes"] for option in options),
            "options": options,
        }

    @staticmethod
    def resolve_turnout(root: Any, info: Any, id: str) -> dict[str, Any]:  # noqa: A002
        election = get_election(public_id=id)
        return {
            "votes": election.turnout,
            "finality": election.finality,
            "is_final": election.status not in (StatusChoices.PENDING, StatusChoices.OPEN),
        }


def turn(cursor: str, *, is_backward: bool) -> str:
    """Point a cursor forwards or backwards; one that is none stays as it is, and the selector refuses it."""
    try:
        place = Cursor.decode(cursor)
    except ValueError:
        return cursor
    return Cursor(place.ordering, is_backward, place.value, place.pk).encode()
