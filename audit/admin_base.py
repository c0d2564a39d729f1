"""What the staff's admins share: read-only pages, values that are short to read and whole to copy, questions first."""

import datetime
import functools
import json
from collections.abc import Callable
from typing import Any

from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.html import format_html
from unfold.admin import ModelAdmin

NOTHING = "–"
SHOWN_ROWS = 20
# An election's id stays whole, a UUID or a hash does not.
LONGEST_WHOLE = 24


class ReadOnly:
    """Nothing can be added, changed or deleted here; for admins and inlines, before their own base."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, ModelAdmin):
    """An admin in which nothing can be added, changed or deleted."""

    actions = None
    list_per_page = 50
    show_full_result_count = False
    list_fullwidth = True


def hexadecimal(value: Any) -> str:
    return "0x" + bytes(value).hex() if value is not None else ""


def shorten(text: str, *, keep: int = 8) -> str:
    """Cut the middle out of each long identifier of a text like `job:…`."""
    return ":".join(
        part if len(part) <= LONGEST_WHOLE else f"{part[: keep + 2 * part.startswith('0x')]}…{part[-4:]}"
        for part in text.split(":")
    )


def abbreviated(value: Any, *, keep: int = 8) -> str:
    """Show an identifier short, with the whole of it in its title; for columns that are links."""
    text = str(value or "")
    return format_html('<code title="{}">{}</code>', text, shorten(text, keep=keep)) if text else NOTHING


def copyable(value: Any, *, keep: int = 8, is_whole: bool = False) -> str:
    """Show an identifier short (or whole, on a page of its own) beside a button that copies the whole of it."""
    text = str(value or "")
    if not text:
        return NOTHING
    return format_html(
        '<span class="copyable"><code title="{0}">{1}</code>'
        '<button type="button" data-copy="{0}" aria-label="Copy {1}" title="Copy"></button></span>',
        text,
        text if is_whole else shorten(text, keep=keep),
    )


def unix_time(seconds: int | None) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC):%Y-%m-%d %H:%M:%S}" if seconds else NOTHING


def preformatted(text: str) -> str:
    return format_html('<pre class="preformatted">{}</pre>', text) if text else NOTHING


def formatted_json(value: Any) -> str:
    """Show JSON indented, one member a line; nothing where there is none."""
    return preformatted(json.dumps(value, indent=2, ensure_ascii=False, default=str) if value else "")


def names_of(people: dict[str, str], actor: str) -> str:
    """Name a person by e-mail where there is one, everybody else as the log does."""
    return people.get(actor) or shorten(actor)


def confirmed(question: str) -> Callable[[Any], Any]:
    """Let an action of a list ask first, on a page that names the rows."""

    def decorate(action: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(action)
        def asking(self: ModelAdmin, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
            if request.POST.get("confirmed") == "yes":
                return action(self, request, queryset)
            total = queryset.count()
            related = self.list_select_related if isinstance(self.list_select_related, list | tuple) else ()
            context = {
                **self.admin_site.each_context(request),
                "opts": self.opts,
                "title": "Are you sure?",
                "question": question,
                "rows": queryset.select_related(*related)[:SHOWN_ROWS],
                "others": max(total - SHOWN_ROWS, 0),
                "keys": queryset.values_list("pk", flat=True),
                "action": action.__name__,
                "checkbox": ACTION_CHECKBOX_NAME,
                "button": str(getattr(asking, "short_description", "Yes")),
            }
            return TemplateResponse(request, "audit/confirm_action.html", context)

        return asking

    return decorate
