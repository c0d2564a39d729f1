"""Django admin: API keys with a chart of their usage."""

from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html

from accounts.admin_base import ReadOnlyAdmin
from accounts.services import actor_of
from apikeys import services
from apikeys.models import ApiKey, ApiKeyUsage
from apikeys.selectors import list_daily_usage
from audit.admin_base import confirmed

CHART_DAYS = 30
BAR_WIDTH, CHART_HEIGHT = 20, 120


class StatusFilter(admin.SimpleListFilter):
    title = "status"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("active", "Active"), ("ended", "Expired or revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        active = ApiKey.objects.active().values("pk")
        if self.value() == "active":
            return queryset.filter(pk__in=active)
        return queryset.exclude(pk__in=active) if self.value() == "ended" else queryset


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """Keys are made over the API, which shows them once; here staff see them, and administrators revoke them."""

    list_display = ["name", "prefix", "owner", "status", "last_used_at", "expires_at"]
    list_filter = [StatusFilter]
    list_select_related = ["owner"]
    search_fields = ["name", "lookup_id", "owner__email"]
    search_help_text = "Name, prefix or owner"
    fields = [
        "name",
        "prefix",
        "owner",
        "scopes",
        "limit_per_minute",
        "status",
        "usage_chart",
        "created_at",
        "expires_at",
        "revoked_at",
        "last_used_at",
        "replaces",
    ]
    readonly_fields = fields
    actions = ["revoke"]  # type: ignore[assignment]

    @admin.action(description="Revoke these keys", permissions=["revoke"])
    @confirmed("Programs that use these keys are refused from now on. This cannot be taken back.")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        for key in queryset:
            services.revoke_api_key(key_id=key.pk, actor=actor_of(request.user))  # type: ignore[arg-type]
        self.message_user(request, "The selected keys are revoked.", messages.SUCCESS)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return bool(getattr(request.user, "is_admin", False))

    @admin.display(description=f"Requests in the last {CHART_DAYS} days")
    def usage_chart(self, key: ApiKey) -> str:
        return chart_of(key)


def chart_of(key: ApiKey) -> str:
    """Draw a key's requests by day as SVG: answered ones and, on top, refused ones."""
    today = timezone.now().date()
    days = [today - timedelta(days=CHART_DAYS - 1 - index) for index in range(CHART_DAYS)]
    answered, refused = dict.fromkeys(days, 0), dict.fromkeys(days, 0)
    for row in list_daily_usage(key_id=key.pk, since=timezone.now() - timedelta(days=CHART_DAYS)):
        counts = refused if row["status"] >= 400 else answered
        if row["day"] in counts:
            counts[row["day"]] += row["total"]
    highest = max(answered[day] + refused[day] for day in days)
    if not highest:
        return format_html("{}", "No request yet.")
    bars = []
    for index, day in enumerate(days):
        good = round(answered[day] / highest * CHART_HEIGHT, 1)
        bad = round(refused[day] / highest * CHART_HEIGHT, 1)
        bars.append(
            {
                "day": day,
                "x": index * BAR_WIDTH,
                "answered": answered[day],
                "refused": refused[day],
                "good_y": CHART_HEIGHT - good,
                "good": good,
                "bad_y": CHART_HEIGHT - good - bad,
                "bad": bad,
            }
        )
    context = {
        "bars": bars,
        "highest": f"{highest:,}",
        "total": f"{sum(answered.values()) + sum(refused.values()):,}",
        "width": CHART_DAYS * BAR_WIDTH,
        "height": CHART_HEIGHT,
    }
    return render_to_string("apikeys/usage_chart.html", context)


@admin.register(ApiKeyUsage)
class ApiKeyUsageAdmin(ReadOnlyAdmin):
    list_display = ("key", "hour", "route", "status", "requests")
    list_filter = ("hour", "status", "route")
    search_fields = ("key__name", "route")
    search_help_text = "A key's name, or a route"
    list_select_related = ("key",)
