"""The staff's admin: its theme, its menu, and what it needs of the Content-Security-Policy."""

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

# unfold is built on Alpine, which compiles its attributes (`unsafe-eval`) and sets styles. No inline script is
# allowed there either, and no other page gets this (docs/adr/0014).
ADMIN_CONTENT_SECURITY_POLICY = {
    "script-src": ["'self'", "'unsafe-eval'"],
    "style-src": ["'self'", "'unsafe-inline'"],
}


def item(title: str, icon: str, name: str) -> dict[str, object]:
    return {"title": title, "icon": icon, "link": reverse_lazy(name)}


def list_of(title: str, icon: str, model: str) -> dict[str, object]:
    return item(title, icon, f"admin:{model}_changelist")


def is_among_messages(request: HttpRequest) -> bool:
    """Tell the list of messages, and a message, from the pages beside it that have an item of their own."""
    match = request.resolver_match
    name = match.url_name if match else None
    return name in {f"notifications_notification_{page}" for page in ("changelist", "change", "mails")}


UNFOLD = {
    "SITE_TITLE": "Psephos",
    "SITE_HEADER": "Psephos",
    "SITE_SUBHEADER": "Elections on chain, times in UTC",
    "SITE_SYMBOL": "how_to_vote",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "DASHBOARD_CALLBACK": "config.admin_dashboard.fill_dashboard",
    "STYLES": [lambda request: static("admin_dashboard/dashboard.css")],
    "SCRIPTS": [lambda request: static("admin_dashboard/copy.js")],
    "SIDEBAR": {
        "show_search": True,
        # The inner tables, which nobody opens every day, are there.
        "show_all_applications": True,
        "navigation": [
            {"items": [item("Dashboard", "dashboard", "admin:index")]},
            {
                "title": "Elections",
                "items": [
                    list_of("Elections", "how_to_vote", "elections_election"),
                    list_of("Descriptions", "article", "elections_metadata"),
                    list_of("Censuses", "groups", "elections_census"),
                ],
            },
            {
                "title": "People",
                "items": [
                    list_of("Users", "group", "accounts_user"),
                    list_of("Sign-ins", "login", "accounts_signin"),
                    list_of("API keys", "key", "apikeys_apikey"),
                ],
            },
            {
                "title": "Messages",
                "items": [
                    list_of("Messages", "mail", "notifications_notification") | {"active": is_among_messages},
                    list_of("Announcements", "campaign", "notifications_announcement"),
                    list_of("Subscriptions", "notifications", "notifications_subscription"),
                    item("Templates and tests", "preview", "admin:notifications_notification_templates"),
                ],
            },
            {
                "title": "Chain and work",
                "items": [
                    list_of("Indexer", "sync", "chain_checkpoint"),
                    list_of("Transactions", "receipt_long", "chain_transaction"),
                    list_of("Dead letters", "report", "chain_deadletter"),
                    list_of("Jobs", "work", "jobs_job"),
                ],
            },
            {
                "title": "Audit",
                "items": [
                    list_of("Entries", "history", "audit_entry"),
                    list_of("Verifications", "verified", "audit_verification"),
                    list_of("Checkpoints", "flag", "audit_checkpoint"),
                ],
            },
            {"items": [item("API documentation", "description", "docs")]},
        ],
    },
}
