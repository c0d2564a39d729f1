"""Writes the audit log; numbers, signs, exports and verifies it."""

from audit.services.admin import AuditedAdmin
from audit.services.grants import grant_application_role
from audit.services.recording import record
from audit.services.sequencing import Sequencer, make_sequencer, sequence_all

__all__ = ["AuditedAdmin", "Sequencer", "grant_application_role", "make_sequencer", "record", "sequence_all"]
