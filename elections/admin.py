"""Django admin of `elections`: to look at; what stands on the chain is changed on the chain alone."""

from typing import Any

from django.contrib import admin
from unfold.decorators import display

from accounts.admin_base import ReadOnlyAdmin, ReadOnlyInline
from elections.models import Census, CensusMember, CensusNode, ChainHead, Election, Metadata, Moment


def hexadecimal(value: Any) -> str:
    return "0x" + bytes(value).hex() if value is not None else "–"


class MomentInline(ReadOnlyInline):
    model = Moment
    fields = readonly_fields = ("kind", "block_number", "announced_at")


@admin.register(Election)
class ElectionAdmin(ReadOnlyAdmin):
    """Elections with their tallies, facts and moments."""

    list_display = ("public_id", "show_status", "show_finality", "start_block", "end_block", "turnout", "updated_at")
    list_filter = ("status", "finality", "chain_id", "is_withdrawn", "updated_at")
    search_fields = ("public_id", "contract")
    exclude = ("metadata_hash",)
    readonly_fields = ("show_metadata_hash",)
    inlines = [MomentInline]

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
        return hexadecimal(election.metadata_hash)


@admin.register(ChainHead)
class ChainHeadAdmin(ReadOnlyAdmin):
    list_display = ("chain_id", "number", "safe_block", "finalized_block", "block_seconds")
    exclude = ("hash",)


@admin.register(Metadata)
class MetadataAdmin(ReadOnlyAdmin):
    """Documents that describe elections, under their hash."""

    list_display = ("show_title", "show_hash", "created_at")
    list_filter = ("created_at",)
    search_fields = ("document__title",)
    fields = ("show_hash", "document", "created_at")
    readonly_fields = ("show_hash",)

    @display(description="Title")
    def show_title(self, metadata: Metadata) -> str:
        title = metadata.document.get("title") if isinstance(metadata.document, dict) else None
        return str(title) if title else str(metadata)

    @display(description="Hash")
    def show_hash(self, metadata: Metadata) -> str:
        return hexadecimal(metadata.hash)


@admin.register(Moment)
class MomentAdmin(ReadOnlyAdmin):
    list_display = ("election", "kind", "block_number", "announced_at")
    list_filter = ("kind", "announced_at")
    search_fields = ("election__public_id",)
    list_select_related = ("election",)


@admin.register(Census)
class CensusAdmin(ReadOnlyAdmin):
    list_display = ("election", "size", "closed_at")
    list_filter = ("closed_at",)
    search_fields = ("election__public_id",)
    list_select_related = ("election",)


@admin.register(CensusMember)
class CensusMemberAdmin(ReadOnlyAdmin):
    """Registrations, without what could join a person to a commitment."""

    list_display = ("census", "index", "commitment", "registered_at")
    list_filter = ("registered_at",)
    search_fields = ("census__election__public_id",)
    list_select_related = ("census",)
    exclude = ("subject_digest",)


@admin.register(CensusNode)
class CensusNodeAdmin(ReadOnlyAdmin):
    list_display = ("census", "level", "index", "show_value")
    list_filter = ("level",)
    search_fields = ("census__election__public_id",)
    list_select_related = ("census",)
    exclude = ("value",)
    readonly_fields = ("show_value",)

    @display(description="Value")
    def show_value(self, node: CensusNode) -> str:
        return hexadecimal(node.value)
