"""The staff's admin: its theme, its menu, and what it needs of the Content-Security-Policy."""

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


UNFOLD = {
    "SITE_TITLE": "Psephos",
    "SITE_HEADER": "Psephos",
    "SITE_SUBHEADER": "Elections on chain",
    "SITE_SYMBOL": "how_to_vote",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "DASHBOARD_CALLBACK": "config.admin_dashboard.fill_dashboard",
    "STYLES": [lambda request: static("admin_dashboard/dashboard.css")],
    "SIDEBAR": {
        "show_search": True,
        "show_all_applications": True,
        "navigation": [
            {
                "items": [
                    item("Dashboard", "dashboard", "admin:index"),
                    item("Users", "group", "admin:accounts_user_changelist"),
                    item("API keys", "key", "admin:apikeys_apikey_changelist"),
                    item("API documentation", "description", "docs"),
                ]
            }
        ],
    },
}
