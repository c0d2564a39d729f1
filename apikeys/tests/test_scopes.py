"""Every route's scope, listed: a route that accepts keys must be written down in docs/api-keys.md."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.urls import URLResolver, get_resolver

from apikeys.exceptions import ApiKeyNotAccepted
from apikeys.services import check_scope
from apikeys.services.keys import ADMIN_SCOPES, STAFF_SCOPES
from apikeys.tests.factories import make_key

DOCUMENT = Path(settings.BASE_DIR) / "docs" / "api-keys.md"
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def routes(resolver, prefix="/"):
    for pattern in resolver.url_patterns:
        path = prefix + str(pattern.pattern).removeprefix("^")
        if isinstance(pattern, URLResolver):
            yield from routes(pattern, path)
        else:
            view = pattern.callback
            yield path, getattr(view, "cls", None) or getattr(view, "view_class", None) or view


def declared():
    """Return {(method, route): scope} of all routes that accept keys."""
    found = {}
    for path, view in routes(get_resolver()):
        for method, scope in (getattr(view, "api_key_scopes", None) or {}).items():
            found[method, path] = scope
    return found


def test_every_declared_scope_exists_and_every_scope_is_of_use():
    assert set(declared().values()) <= set(settings.API_KEY_SCOPES)
    assert set(settings.API_KEY_SCOPES) >= ADMIN_SCOPES | STAFF_SCOPES


def test_every_route_that_accepts_keys_is_written_down():
    rows = re.findall(r"^\| ([A-Z]+) \| `([^`]+)` \| `([^`]+)` \|$", DOCUMENT.read_text(), re.MULTILINE)
    documented = {(method, path): scope for method, path, scope in rows}
    expected = declared()
    missing = [
        f"| {method} | `{path}` | `{scope}` |"
        for (method, path), scope in sorted(expected.items(), key=lambda item: (item[0][1], item[0][0]))
        if documented.get((method, path)) != scope
    ]
    assert not missing, "add to the table of docs/api-keys.md:\n" + "\n".join(missing)
    assert not set(documented) - set(expected), "in docs/api-keys.md, but no such route accepts keys"


@pytest.mark.django_db
def test_every_other_method_of_every_route_refuses_keys():
    key, _ = make_key(scopes=list(settings.API_KEY_SCOPES))
    open_by_key = declared()
    for path, view in routes(get_resolver()):
        for method in METHODS:
            is_open = True
            try:
                check_scope(key, scopes=getattr(view, "api_key_scopes", None), method=method)
            except ApiKeyNotAccepted:
                is_open = False
            assert is_open == ((method, path) in open_by_key)
