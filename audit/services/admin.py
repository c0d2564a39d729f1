"""Entries for changes made in the Django admin."""

from typing import Any

from audit.services.recording import record


class AuditedAdmin:
    """Mix into a ModelAdmin (first): each addition, change and deletion leaves an entry in its transaction.

    The entry names the changed fields, never their values.
    """

    def log_addition(self, request: Any, obj: Any, message: Any) -> Any:
        _record_admin_change("added", request, obj, message)
        return super().log_addition(request, obj, message)  # type: ignore[misc]

    def log_change(self, request: Any, obj: Any, message: Any) -> Any:
        _record_admin_change("changed", request, obj, message)
        return super().log_change(request, obj, message)  # type: ignore[misc]

    def log_deletions(self, request: Any, queryset: Any) -> Any:
        for obj in queryset:
            _record_admin_change("deleted", request, obj, None)
        return super().log_deletions(request, queryset)  # type: ignore[misc]


def _record_admin_change(verb: str, request: Any, obj: Any, message: Any) -> None:
    options = obj._meta
    record(
        action=f"{options.app_label}.{options.model_name}.{verb}",
        actor=f"user:{request.user.pk}",
        target=f"{options.model_name}:{obj.pk}",
        data={"door": "admin"} | ({"changes": message} if message else {}),
    )
