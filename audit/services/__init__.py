"""Writes the audit log; numbers, signs, exports and verifies it."""

from audit.services.admin import AuditedAdmin
from audit.services.grants import grant_application_role
from audit.services.recording import record

__all__ = ["AuditedAdmin", "grant_application_role", "record"]
