"""Content-Security-Policy: strict everywhere, with what the admin's theme needs under /admin/ alone."""

from typing import Any

from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import settings
from django.http import HttpRequest, HttpResponseBase


class ContentSecurityPolicyMiddleware(CSPMiddleware):
    """django-csp's middleware, with ADMIN_CONTENT_SECURITY_POLICY's directives added to pages of the admin."""

    def get_policy_parts(
        self, request: HttpRequest, response: HttpResponseBase, report_only: bool = False
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        if request.path_info.startswith("/admin/") and not report_only:
            update: dict[str, Any] = {**(parts.update or {}), **settings.ADMIN_CONTENT_SECURITY_POLICY}
            parts.update = update
        return parts
