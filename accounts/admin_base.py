"""Bases of the staff's admins: viewers see, admins change, facts and append-only rows nobody edits here."""

from unfold.admin import ModelAdmin, TabularInline

from audit.admin_base import ReadOnly
from audit.admin_base import ReadOnlyAdmin as BareReadOnlyAdmin
from audit.services import AuditedAdmin


class StaffAdmin(AuditedAdmin, ModelAdmin):
    """An admin for rows that administrators may change; viewers see them. Each change leaves an audit entry."""

    compressed_fields = True
    list_per_page = 50
    show_full_result_count = False
    list_fullwidth = True


class ReadOnlyAdmin(BareReadOnlyAdmin, StaffAdmin):
    """An admin for facts and append-only rows: lists, filters and details, and no way to add, change or delete."""


class ReadOnlyInline(ReadOnly, TabularInline):
    """Rows beside another's that nobody edits here."""

    extra = 0
    can_delete = False
    show_change_link = True
    # Its title is the row said again.
    hide_title = True
