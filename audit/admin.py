"""Django admin of the audit log: to read and to search, with the state of the last verification on top."""

from typing import Any, cast
from uuid import UUID

from django.contrib import admin
from django.core.paginator import Paginator
from django.db import connection
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from unfold.contrib.filters.admin import RangeDateTimeFilter
from unfold.decorators import display

from audit.admin_base import NOTHING, ReadOnlyAdmin, copyable, formatted_json, hexadecimal, names_of, preformatted
from audit.models import Anchor, Checkpoint, Entry, Export, Leaf, Tile, Verification
from audit.registers import ANCHORS, EXPORTS, VERIFICATIONS, Register
from audit.selectors import get_last_verification, get_log_state, get_voucher, list_entries, name_people

ROOMS = ["accounts", "apikeys", "audit", "chain", "elections", "jobs", "notifications", "zk"]
ESTIMATE_FROM = 50_000


class EstimatingPaginator(Paginator):
    """Takes the planner's estimate for the count of a large, unfiltered log: counting all rows takes seconds."""

    @cached_property
    def count(self) -> int:
        entries = cast(QuerySet[Entry], self.object_list)
        if not entries.query.where:
            with connection.cursor() as cursor:
                cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = 'audit_entry'::regclass")
                [estimate] = cursor.fetchone()
            if estimate >= ESTIMATE_FROM:
                return int(estimate)
        return entries.count()


class RoomFilter(admin.SimpleListFilter):
    title = "room"
    parameter_name = "room"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in ROOMS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Entry]) -> QuerySet[Entry]:
        return queryset.filter(action__startswith=f"{self.value()}.") if self.value() in ROOMS else queryset


@admin.register(Entry)
class EntryAdmin(ReadOnlyAdmin):
    list_display = ["number", "created_at", "action", "who", "show_target"]
    list_display_links = ["number", "created_at"]
    list_filter = [RoomFilter, ("created_at", RangeDateTimeFilter)]
    list_filter_submit = True
    list_before_template = "audit/log_state.html"
    list_select_related = ["leaf"]
    search_fields = ["action", "actor", "target", "request_id"]
    search_help_text = "Words in action, actor or target; or a number, a receipt or a request's ID."
    ordering = ["-id"]
    paginator = EstimatingPaginator
    fields = [
        "number", "show_id", "created_at", "action", "show_actor", "whole_target", "show_data",
        "request_id", "transaction",
        "entry_hash", "canonical_bytes", "proof",
    ]  # fmt: skip
    readonly_fields = fields

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        state = {"log": get_log_state(), "verification": get_last_verification()}
        return super().changelist_view(request, extra_context=state | (extra_context or {}))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        # One query for the page's people, not one a row.
        page = super().get_changelist_instance(request)
        entries = list(page.result_list)
        people = name_people([entry.actor for entry in entries])
        for entry in entries:
            entry.people = people
        page.result_list = entries
        return page

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Entry], search_term: str
    ) -> tuple[QuerySet[Entry], bool]:
        term = search_term.strip()
        if term.isascii() and term.isdecimal() and len(term) < 19:
            return queryset.filter(leaf__seq=int(term)), False
        try:
            return queryset.filter(pk=UUID(term)) | queryset.filter(request_id=term), False
        except ValueError:
            found = list_entries(filters={"search": term}).values("pk")
            return (queryset.filter(pk__in=found) if term else queryset), False

    @display(description="Number", ordering="id")
    def number(self, entry: Entry) -> str:
        return str(entry.leaf.seq) if hasattr(entry, "leaf") else "waiting"

    @display(description="Actor", ordering="actor")
    def who(self, entry: Entry) -> str:
        return format_html('<span title="{}">{}</span>', entry.actor, names_of(entry.people, entry.actor))  # type: ignore[attr-defined]

    @display(description="Actor")
    def show_actor(self, entry: Entry) -> str:
        name = name_people([entry.actor]).get(entry.actor)
        actor = copyable(entry.actor, is_whole=True)
        return format_html("{} {}", name, actor) if name else actor

    @display(description="Target", ordering="target")
    def show_target(self, entry: Entry) -> str:
        return copyable(entry.target)

    @display(description="Target")
    def whole_target(self, entry: Entry) -> str:
        return copyable(entry.target, is_whole=True)

    @display(description="ID")
    def show_id(self, entry: Entry) -> str:
        return copyable(entry.pk, is_whole=True)

    @display(description="Data")
    def show_data(self, entry: Entry) -> str:
        return formatted_json(entry.data)

    @display(description="Hash")
    def entry_hash(self, entry: Entry) -> str:
        return copyable(bytes(entry.leaf.entry_hash).hex(), is_whole=True) if hasattr(entry, "leaf") else NOTHING

    @display(description="Canonical bytes")
    def canonical_bytes(self, entry: Entry) -> str:
        return preformatted(entry.leaf.body) if hasattr(entry, "leaf") else NOTHING

    @display(description="Proof")
    def proof(self, entry: Entry) -> str:
        if not hasattr(entry, "leaf"):
            return NOTHING
        return format_html('<a href="/audit/proof?id={}">inclusion proof</a>', entry.pk)


class VouchedAdmin(ReadOnlyAdmin):
    """An admin of rows whose columns the log has; it leads to the entry."""

    register: Register

    @display(description="In the log")
    def voucher(self, row: Export | Anchor | Verification) -> str:
        entry = get_voucher(self.register, row.pk)
        if entry is None:
            return "no entry vouches for this row"
        number = f"entry {entry.leaf.seq}" if hasattr(entry, "leaf") else "an entry that waits for its number"
        return format_html('<a href="{}">{}</a>', reverse("admin:audit_entry_change", args=[entry.pk]), number)


@admin.register(Verification)
class VerificationAdmin(VouchedAdmin):
    register = VERIFICATIONS
    list_display = ["finished_at", "show_outcome", "tree_size", "count"]
    list_filter = ["outcome"]
    fields = ["started_at", "finished_at", "show_outcome", "tree_size", "show_findings", "voucher"]
    readonly_fields = fields

    @display(description="Outcome", label={"Whole": "success", "Tampered": "danger", "Could Not Check": "warning"})
    def show_outcome(self, verification: Verification) -> str:
        return verification.get_outcome_display().title()

    @display(description="Findings")
    def count(self, verification: Verification) -> int:
        return len(verification.findings)

    @display(description="Findings")
    def show_findings(self, verification: Verification) -> str:
        rows = [(finding["place"], finding["message"]) for finding in verification.findings]
        return format_html_join("", "<div><b>{}</b>: {}</div>", rows) if rows else "none"


@admin.register(Checkpoint)
class CheckpointAdmin(ReadOnlyAdmin):
    list_display = ["tree_size", "created_at"]
    fields = ["created_at", "tree_size", "show_note"]
    readonly_fields = fields

    @display(description="Note")
    def show_note(self, checkpoint: Checkpoint) -> str:
        return preformatted(checkpoint.note)


@admin.register(Export)
class ExportAdmin(VouchedAdmin):
    register = EXPORTS
    list_display = ["name", "first_seq", "tree_size", "created_at"]
    fields = ["name", "created_at", "first_seq", "tree_size", "root", "manifest", "voucher"]
    readonly_fields = fields

    @display(description="Root")
    def root(self, export: Export) -> str:
        return copyable(hexadecimal(export.root_hash), is_whole=True)

    @display(description="SHA-256 of the manifest")
    def manifest(self, export: Export) -> str:
        return copyable(bytes(export.manifest_sha256).hex(), is_whole=True)


@admin.register(Anchor)
class AnchorAdmin(VouchedAdmin):
    register = ANCHORS
    list_display = ["tree_size", "chain_id", "short_contract", "transaction_hash", "created_at"]
    fields = ["tree_size", "root", "chain_id", "contract", "transaction_hash", "created_at", "voucher"]
    readonly_fields = fields

    @display(description="Transaction")
    def transaction_hash(self, anchor: Anchor) -> str:
        return copyable(hexadecimal(anchor.tx_hash))

    @display(description="Contract")
    def short_contract(self, anchor: Anchor) -> str:
        return copyable(anchor.contract)

    @display(description="Root")
    def root(self, anchor: Anchor) -> str:
        return copyable(hexadecimal(anchor.root_hash), is_whole=True)


@admin.register(Leaf)
class LeafAdmin(ReadOnlyAdmin):
    """The numbered log: what the next entry names, and the tree is over."""

    list_display = ["seq", "entry", "show_hash"]
    search_fields = ["seq"]
    search_help_text = "A number"
    list_select_related = ["entry"]
    fields = ["seq", "entry", "show_hash", "show_body"]
    readonly_fields = fields

    @display(description="Hash")
    def show_hash(self, leaf: Leaf) -> str:
        return copyable(bytes(leaf.entry_hash).hex())

    @display(description="Canonical bytes")
    def show_body(self, leaf: Leaf) -> str:
        return preformatted(leaf.body)


@admin.register(Tile)
class TileAdmin(ReadOnlyAdmin):
    list_display = ["level", "index"]
    list_filter = ["level"]
    exclude = ["hashes", "root"]
