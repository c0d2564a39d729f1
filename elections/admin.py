"""Django admin of `elections`: to look at; what stands on the chain is changed on the chain alone."""

import re
from typing import Any

from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from unfold.decorators import display
from unfold.views import ChangeList

from accounts.admin_base import ReadOnlyAdmin, ReadOnlyInline
from audit.admin_base import copyable, formatted_json, hexadecimal, unix_time
from elections.models import Census, CensusMember, CensusNode, ChainHead, Election, Metadata, Moment

COMMITMENT = re.compile(r"[0-9]{1,78}", re.ASCII)


def title_of(document: Any) -> str:
    return str(document.get("title") or "") if isinstance(document, dict) else ""


class HashedChangeList(ChangeList):
    """Links to rows whose key is a hash by its hexadecimal digits; Django would write Python's `b'…'`."""

    def url_for_result(self, result: Any) -> str:
        return reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[bytes(result.pk).hex()])


class MomentInline(ReadOnlyInline):
    model = Moment
    fields = readonly_fields = ("kind", "block_number", "announced_at")


@admin.register(Election)
class ElectionAdmin(ReadOnlyAdmin):
    """Elections with their tallies, facts and moments."""

    list_display = (
        "show_title",
        "show_public_id",
        "show_status",
        "show_finality",
        "start_block",
        "end_block",
        "turnout",
        "updated_at",
    )
    list_filter = ("status", "finality", "chain_id", "is_withdrawn", "updated_at")
    search_fields = ("public_id", "contract")
    search_help_text = "Title, ID or contract"
    fields = (
        "show_title", "public_id", "status", "finality", "show_tally", "turnout", "start_block", "end_block",
        "starts_at", "ends_at", "is_cancelled", "is_withdrawn", "chain_id", "contract", "election_id", "verifier",
        "show_census_root", "show_metadata_hash", "show_facts", "created_block", "last_fact_block", "revision",
        "first_seen_at", "updated_at",
    )  # fmt: skip
    readonly_fields = fields
    inlines = [MomentInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Election]:
        described = Metadata.objects.filter(hash=OuterRef("metadata_hash"))
        return super().get_queryset(request).annotate(document=Subquery(described.values("document")))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Election], search_term: str
    ) -> tuple[QuerySet[Election], bool]:
        found, is_doubled = super().get_search_results(request, queryset, search_term)
        if search_term:
            titled = Metadata.objects.filter(document__title__icontains=search_term)
            found |= queryset.filter(metadata_hash__in=titled.values("hash"))
        return found, is_doubled

    @display(description="Title")
    def show_title(self, election: Election) -> str:
        return title_of(election.document) or "not described"

    @display(description="Public ID", ordering="public_id")
    def show_public_id(self, election: Election) -> str:
        return copyable(election.public_id)

    @display(description="Votes")
    def show_tally(self, election: Election) -> str:
        document = election.document
        labels = document.get("options", []) if isinstance(document, dict) else []
        votes = election.totals or election.votes
        named = [labels[at] if at < len(labels) else f"Option {at}" for at in range(len(votes))]
        return format_html_join("", "<div>{}: {}</div>", zip(named, votes, strict=True)) or "–"

    @display(description="Facts")
    def show_facts(self, election: Election) -> str:
        return formatted_json(election.facts)

    @display(description="Census root")
    def show_census_root(self, election: Election) -> str:
        return copyable(election.census_root, is_whole=True)

    @display(
        description="Status",
        ordering="status",
        label={"pending": "info", "open": "success", "closed": "warning", "tallied": "info", "cancelled": "danger"},
    )
    def show_status(self, election: Election) -> str:
        return election.status

    @display(
        description="Finality",
        ordering="finality",
        label={"latest": "warning", "safe": "info", "finalized": "success"},
    )
    def show_finality(self, election: Election) -> str:
        return election.finality

    @display(description="Metadata hash")
    def show_metadata_hash(self, election: Election) -> str:
        return copyable(hexadecimal(election.metadata_hash), is_whole=True)


@admin.register(ChainHead)
class ChainHeadAdmin(ReadOnlyAdmin):
    list_display = ("chain_id", "number", "safe_block", "finalized_block", "show_pace")
    exclude = ("hash", "timestamp")
    readonly_fields = ("show_hash", "show_time")

    @display(description="Hash")
    def show_hash(self, head: ChainHead) -> str:
        return copyable(hexadecimal(head.hash), is_whole=True)

    @display(description="Seconds per block", ordering="block_seconds")
    def show_pace(self, head: ChainHead) -> str:
        return f"{head.block_seconds:.2f}"

    @display(description="Time")
    def show_time(self, head: ChainHead) -> str:
        return unix_time(head.timestamp)


@admin.register(Metadata)
class MetadataAdmin(ReadOnlyAdmin):
    """Documents that describe elections, under their hash."""

    list_display = ("show_title", "show_hash", "created_at")
    list_filter = ("created_at",)
    search_fields = ("document__title",)
    search_help_text = "Words of the title"
    fields = ("show_title", "show_hash", "show_document", "created_at")
    readonly_fields = fields

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[HashedChangeList]:
        return HashedChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Metadata | None:
        try:
            return self.get_queryset(request).filter(pk=bytes.fromhex(object_id)).first()
        except ValueError:
            return None

    @display(description="Title")
    def show_title(self, metadata: Metadata) -> str:
        return title_of(metadata.document) or "without a title"

    @display(description="Document")
    def show_document(self, metadata: Metadata) -> str:
        return formatted_json(metadata.document)

    @display(description="Hash")
    def show_hash(self, metadata: Metadata) -> str:
        return copyable(hexadecimal(metadata.hash))


@admin.register(Moment)
class MomentAdmin(ReadOnlyAdmin):
    list_display = ("election", "kind", "block_number", "announced_at")
    list_filter = ("kind", "announced_at")
    search_fields = ("election__public_id",)
    search_help_text = "An election's ID"
    list_select_related = ("election",)


@admin.register(Census)
class CensusAdmin(ReadOnlyAdmin):
    list_display = ("election", "size", "closed_at")
    list_filter = ("closed_at",)
    search_fields = ("election__public_id",)
    search_help_text = "An election's ID"
    list_select_related = ("election",)


@admin.register(CensusMember)
class CensusMemberAdmin(ReadOnlyAdmin):
    """Registrations, without what could join a person to a commitment."""

    list_display = ("show_election", "index", "show_commitment", "registered_at")
    list_filter = ("registered_at",)
    search_fields = ("census__election__public_id",)
    search_help_text = "An election's ID, or a whole commitment (decimal)"
    list_select_related = ("census__election",)
    fields = ("show_election", "index", "show_commitment", "registered_at")
    readonly_fields = ("show_election", "show_commitment")

    @display(description="Election")
    def show_election(self, member: CensusMember) -> str:
        return str(member.census.election)

    @display(description="Commitment")
    def show_commitment(self, member: CensusMember) -> str:
        return copyable(member.commitment)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[CensusMember], search_term: str
    ) -> tuple[QuerySet[CensusMember], bool]:
        """Find a bare number by the index of commitments, anything else among the elections' ids."""
        term = search_term.strip()
        if COMMITMENT.fullmatch(term):
            return queryset.filter(commitment=int(term)), False
        return super().get_search_results(request, queryset, search_term)


@admin.register(CensusNode)
class CensusNodeAdmin(ReadOnlyAdmin):
    list_display = ("show_election", "level", "index", "show_value")
    list_filter = ("level",)
    search_fields = ("census__election__public_id",)
    search_help_text = "An election's ID"
    list_select_related = ("census__election",)
    exclude = ("value",)
    readonly_fields = ("show_value",)

    @display(description="Election")
    def show_election(self, node: CensusNode) -> str:
        return str(node.census.election)

    @display(description="Value")
    def show_value(self, node: CensusNode) -> str:
        return copyable(hexadecimal(node.value))
