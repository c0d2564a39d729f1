"""GraphQL's pages: one shape of connection for every list that is read by cursors."""

from collections.abc import Sequence
from typing import Any

import graphene

DEFAULT_SIZE = 50


class PageInfo(graphene.ObjectType):
    """What lies beyond a page."""

    has_next_page = graphene.Boolean(required=True, description="There are more after these.")
    has_previous_page = graphene.Boolean(required=True, description="There are more before these.")
    start_cursor = graphene.String(description="Give as `before` for the previous page, where a list takes it.")
    end_cursor = graphene.String(description="Give as `after` for the next page.")


def connection_of(node: type[graphene.ObjectType]) -> type[graphene.ObjectType]:
    """Make the connection of a type, with its edges."""
    name = node._meta.name
    edge = type(
        f"{name}Edge",
        (graphene.ObjectType,),
        {
            "__doc__": f"{name}: one in a list.",
            "node": graphene.Field(node, required=True, description="What stands there."),
            "cursor": graphene.String(required=True, description="Its place in the list."),
        },
    )
    return type(
        f"{name}Connection",
        (graphene.ObjectType,),
        {
            "__doc__": f"{name}: a page of a list.",
            "edges": graphene.List(graphene.NonNull(edge), required=True, description="What the page shows."),
            "page_info": graphene.Field(PageInfo, required=True, description="What lies beyond."),
        },
    )


def page_of(*, nodes: Sequence[Any], cursors: Sequence[str], has_next: bool, has_previous: bool) -> dict[str, Any]:
    """Make the value of a connection."""
    return {
        "edges": [{"node": node, "cursor": cursor} for node, cursor in zip(nodes, cursors, strict=True)],
        "page_info": {
            "has_next_page": has_next,
            "has_previous_page": has_previous,
            "start_cursor": cursors[0] if cursors else None,
            "end_cursor": cursors[-1] if cursors else None,
        },
    }
